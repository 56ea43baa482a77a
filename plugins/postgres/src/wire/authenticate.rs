//! Logging in: the server's challenges in, answers out. SCRAM-SHA-256 and MD5; a password in clear only where nobody can listen.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, ChannelBinding, ScramSha256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use strongroom_plugin::{Error, ErrorKind};

use super::client::Login;
use super::failure::Failure;

/// A login under way.
pub(super) struct Authentication<'a> {
    login: &'a Login<'a>,
    scram: Option<ScramSha256>,
    server_is_proven: bool,
}

impl<'a> Authentication<'a> {
    pub(super) fn new(login: &'a Login<'a>) -> Self {
        Self {
            login,
            scram: None,
            server_is_proven: false,
        }
    }

    /// Answers a challenge into `out`; whether the login is done.
    pub(super) fn answer(
        &mut self,
        challenge: &Message,
        out: &mut BytesMut,
    ) -> Result<bool, Failure> {
        match challenge {
            Message::AuthenticationOk => {
                // A server that skips its proof does not know the password.
                if self.scram.is_some() && !self.server_is_proven {
                    return Err(refused(
                        "the server did not prove that it knows the password",
                    ));
                }
                return Ok(true);
            }
            Message::AuthenticationCleartextPassword if self.login.is_private => {
                frontend::password_message(self.password()?, out)?;
            }
            Message::AuthenticationCleartextPassword => {
                return Err(Error::new(
                    ErrorKind::Denied,
                    "the server asks for the password in clear, and the connection is not encrypted",
                )
                .hint("set tls = \"verify-full\", or let pg_hba.conf ask for scram-sha-256")
                .into());
            }
            Message::AuthenticationMd5Password(body) => {
                let user = self.login.user.as_bytes();
                let hash = md5_hash(user, self.password()?, body.salt());
                frontend::password_message(hash.as_bytes(), out)?;
            }
            Message::AuthenticationSasl(body) => {
                let mut mechanisms = body.mechanisms();
                let mut has_scram = false;
                while let Some(mechanism) = mechanisms.next()? {
                    has_scram |= mechanism == sasl::SCRAM_SHA_256;
                }
                if !has_scram {
                    return Err(refused("the server offers no SCRAM-SHA-256"));
                }
                let scram = ScramSha256::new(self.password()?, ChannelBinding::unsupported());
                frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), out)?;
                self.scram = Some(scram);
            }
            Message::AuthenticationSaslContinue(body) => {
                let scram = self.scram()?;
                scram.update(body.data()).map_err(|_| bad_proof())?;
                frontend::sasl_response(scram.message(), out)?;
            }
            Message::AuthenticationSaslFinal(body) => {
                self.scram()?.finish(body.data()).map_err(|_| bad_proof())?;
                self.server_is_proven = true;
            }
            _ => {
                let problem = "the server asks for a way to log in that is not supported here";
                let error = Error::new(ErrorKind::Unsupported, problem);
                let hint = "let pg_hba.conf ask for scram-sha-256 from this address";
                return Err(error.hint(hint).into());
            }
        }
        Ok(false)
    }

    fn password(&self) -> Result<&'a [u8], Failure> {
        let password = self.login.password.ok_or_else(|| {
            let problem = format!("the server asks for the password of {}", self.login.user);
            Error::new(ErrorKind::Unauthenticated, problem)
                .hint("give it, such as password = { env = \"PGPASSWORD\" }")
        })?;
        Ok(password.as_bytes())
    }

    fn scram(&mut self) -> Result<&mut ScramSha256, Failure> {
        let missing = || refused("the server goes on with a login that was not begun");
        self.scram.as_mut().ok_or_else(missing)
    }
}

fn bad_proof() -> Failure {
    refused("the server's proof that it knows the password is wrong")
}

fn refused(problem: &str) -> Failure {
    Error::new(ErrorKind::Unauthenticated, problem).into()
}
