//! One connection: requests in, rows and copied bytes out, as they come.

use std::io::{Read, Write};

use bytes::{Buf, Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend;
use strongroom_plugin::{Error, ErrorKind};

use super::authenticate::Authentication;
use super::failure::{Failure, ServerError};

/// How much is read at once.
const READ_BYTES: usize = 128 * 1024;

/// No message that we ask for comes near this. What a server claims must not take the memory.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// How many of the server's warnings are kept for the caller.
const MAX_WARNINGS: usize = 100;

/// The answer to START_REPLICATION, which `postgres-protocol` does not know.
const COPY_BOTH_RESPONSE_TAG: u8 = b'W';

/// Who logs in, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: Option<&'a str>,
    pub(crate) database: &'a str,
    /// Settings, as `postgres -c` takes them.
    pub(crate) options: &'a str,
    /// For BASE_BACKUP and START_REPLICATION; takes no SQL then.
    pub(crate) replication: bool,
    /// Whether nobody can listen.
    pub(crate) is_private: bool,
}

/// A row, in the server's text form.
pub(crate) type Row = Vec<Option<String>>;

/// What the server sends in answer to a request.
#[derive(Debug)]
pub(crate) enum Event {
    Row(Row),
    /// The end of one result.
    ResultEnd,
    CopyOut,
    CopyBoth,
    CopyData(Bytes),
    CopyDone,
    /// The end of the answer.
    Ready,
}

enum Incoming {
    CopyBoth,
    Message(Message),
}

/// A connection that is logged in.
pub(crate) struct Client<S> {
    stream: S,
    incoming: BytesMut,
    outgoing: BytesMut,
    warnings: Vec<ServerError>,
}

/// Asks for TLS on a fresh connection; whether the server agrees. Then the stream has to be wrapped before anything else.
pub(crate) fn wants_tls<S: Read + Write>(stream: &mut S) -> Result<bool, Failure> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request)?;
    stream.flush()?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    match answer {
        [b'S'] => Ok(true),
        [b'N'] => Ok(false),
        // Whatever this is, it came before any encryption: nothing it says should be believed.
        _ => Err(not_postgres("an unknown answer to the request for TLS").into()),
    }
}

impl<S: Read + Write> Client<S> {
    /// Logs in over a fresh stream.
    pub(crate) fn log_in(stream: S, login: &Login<'_>) -> Result<Self, Failure> {
        let mut client = Self {
            stream,
            incoming: BytesMut::with_capacity(READ_BYTES),
            outgoing: BytesMut::new(),
            warnings: Vec::new(),
        };
        let mut parameters = vec![
            ("user", login.user),
            ("database", login.database),
            ("client_encoding", "UTF8"),
            ("application_name", "strongroom"),
            ("options", login.options),
        ];
        if login.replication {
            parameters.push(("replication", "true"));
        }
        frontend::startup_message(parameters, &mut client.outgoing)?;
        client.flush()?;
        let mut authentication = Authentication::new(login);
        loop {
            match client.receive()? {
                Message::ErrorResponse(body) => {
                    return Err(Failure::Server(ServerError::read(body.fields())?));
                }
                Message::NoticeResponse(_) => {}
                challenge => {
                    if authentication.answer(&challenge, &mut client.outgoing)? {
                        break;
                    }
                    client.flush()?;
                }
            }
        }
        match client.next()? {
            Event::Ready => Ok(client),
            _ => Err(not_postgres("a login did not end as it should").into()),
        }
    }

    /// Runs statements, and returns the rows of all of them.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        self.ask(sql)?;
        self.rows()
    }

    /// The rows of all statements that were [asked](Self::ask).
    pub(crate) fn rows(&mut self) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        loop {
            match self.next()? {
                Event::Row(row) => rows.push(row),
                Event::ResultEnd => {}
                Event::Ready => return Ok(rows),
                _ => return Err(not_postgres("bytes where rows were asked for").into()),
            }
        }
    }

    /// The first column of the first row; empty where there is none.
    pub(crate) fn value(&mut self, sql: &str) -> Result<String, Failure> {
        let row = self.query(sql)?.into_iter().next().unwrap_or_default();
        Ok(row.into_iter().next().flatten().unwrap_or_default())
    }

    /// Sends a request. Its answer comes by [`next`](Self::next).
    pub(crate) fn ask(&mut self, sql: &str) -> Result<(), Failure> {
        frontend::query(sql, &mut self.outgoing)?;
        self.flush()
    }

    /// Ends what we send of a copy in both directions.
    pub(crate) fn end_copy(&mut self) -> Result<(), Failure> {
        frontend::copy_done(&mut self.outgoing);
        self.flush()
    }

    /// What comes next. An error of the server is returned once it is ready for the next request, or has hung up.
    pub(crate) fn next(&mut self) -> Result<Event, Failure> {
        loop {
            let message = match self.incoming()? {
                Incoming::CopyBoth => return Ok(Event::CopyBoth),
                Incoming::Message(message) => message,
            };
            return Ok(match message {
                Message::DataRow(body) => Event::Row(row(&body)?),
                Message::CommandComplete(_) | Message::EmptyQueryResponse => Event::ResultEnd,
                Message::CopyOutResponse(_) => Event::CopyOut,
                Message::CopyData(body) => Event::CopyData(body.into_bytes()),
                Message::CopyDone => Event::CopyDone,
                Message::ReadyForQuery(_) => Event::Ready,
                Message::ErrorResponse(body) => {
                    let error = ServerError::read(body.fields())?;
                    return Err(self.refused(error));
                }
                Message::RowDescription(_)
                | Message::NoticeResponse(_)
                | Message::ParameterStatus(_)
                | Message::BackendKeyData(_)
                | Message::NotificationResponse(_) => continue,
                _ => return Err(not_postgres("a message that was not asked for").into()),
            });
        }
    }

    /// The server's warnings since the last call.
    pub(crate) fn take_warnings(&mut self) -> Vec<ServerError> {
        std::mem::take(&mut self.warnings)
    }

    /// Says goodbye; a connection that is only dropped leaves a line in the server's log.
    pub(crate) fn close(mut self) {
        frontend::terminate(&mut self.outgoing);
        // Whether it arrives does not matter to anybody.
        let _ = self.flush();
    }

    fn refused(&mut self, error: ServerError) -> Failure {
        while !error.is_fatal() {
            match self.receive() {
                Ok(Message::ReadyForQuery(_)) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Failure::Server(error)
    }

    fn receive(&mut self) -> Result<Message, Failure> {
        match self.incoming()? {
            Incoming::Message(message) => Ok(message),
            Incoming::CopyBoth => Err(not_postgres("a copy that was not asked for").into()),
        }
    }

    fn incoming(&mut self) -> Result<Incoming, Failure> {
        loop {
            if let Some(bytes) = self.whole_message()? {
                if self.incoming.first() == Some(&COPY_BOTH_RESPONSE_TAG) {
                    self.incoming.advance(bytes);
                    return Ok(Incoming::CopyBoth);
                }
                if let Some(message) = Message::parse(&mut self.incoming)? {
                    self.keep_warning(&message)?;
                    return Ok(Incoming::Message(message));
                }
            }
            self.fill()?;
        }
    }

    /// The length of the first message, if all of it is there.
    fn whole_message(&self) -> Result<Option<usize>, Failure> {
        let Some([_, length @ ..]) = self.incoming.first_chunk::<5>() else {
            return Ok(None);
        };
        let bytes = u32::from_be_bytes(*length) as usize + 1;
        if bytes > MAX_MESSAGE_BYTES {
            return Err(not_postgres(&format!("a message of {bytes} bytes")).into());
        }
        Ok((self.incoming.len() >= bytes).then_some(bytes))
    }

    fn fill(&mut self) -> Result<(), Failure> {
        let held = self.incoming.len();
        self.incoming.resize(held + READ_BYTES, 0);
        let room = self.incoming.get_mut(held..).unwrap_or_default();
        let read = loop {
            match self.stream.read(room) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.incoming
            .truncate(held + read.as_ref().copied().unwrap_or(0));
        match read? {
            0 => {
                let problem = "the server closed the connection";
                Err(Error::new(ErrorKind::Unavailable, problem).into())
            }
            _ => Ok(()),
        }
    }

    fn keep_warning(&mut self, message: &Message) -> Result<(), Failure> {
        if let Message::NoticeResponse(body) = message {
            let notice = ServerError::read(body.fields())?;
            if notice.severity == "WARNING" && self.warnings.len() < MAX_WARNINGS {
                self.warnings.push(notice);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let outgoing = self.outgoing.split();
        self.stream.write_all(&outgoing)?;
        Ok(self.stream.flush()?)
    }
}

fn row(body: &DataRowBody) -> Result<Row, Failure> {
    let mut ranges = body.ranges();
    let mut row = Vec::new();
    while let Some(range) = ranges.next()? {
        let bytes = range.and_then(|range| body.buffer().get(range));
        row.push(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    }
    Ok(row)
}

fn not_postgres(what: &str) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("what answers does not speak as PostgreSQL does: {what}"),
    )
}
