//! Packets over a stream: frames of at most 16 MiB come in, whole payloads or a payload to be read piece by piece go out.

use std::io::{self, BufRead, Read, Write};

use strongroom_plugin::{Error, ErrorKind, Result};

/// A frame of this size is continued by the next one.
const FRAME_BYTES: usize = 0xff_ffff;

/// What is read at once. Nothing that we read as a whole comes near it.
const WHOLE_BYTES: usize = 16 << 20;

/// Both directions of a connection.
pub(crate) struct Packets<S> {
    stream: S,
    /// The number that the next packet has, in whichever direction.
    sequence: u8,
}

impl<S: BufRead + Write> Packets<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self::continuing(stream, 0)
    }

    /// Over the stream that TLS has put in place of the first one, in the midst of an exchange.
    pub(crate) fn continuing(stream: S, sequence: u8) -> Self {
        Self { stream, sequence }
    }

    /// The stream itself, and the number of the next packet.
    pub(crate) fn into_stream(self) -> (S, u8) {
        (self.stream, self.sequence)
    }

    /// A new exchange: its packets are counted from 0.
    pub(crate) fn begin(&mut self) {
        self.sequence = 0;
    }

    /// Sends a payload.
    pub(crate) fn write(&mut self, payload: &[u8]) -> Result<()> {
        let mut rest = payload;
        loop {
            let (frame, after) = rest.split_at(rest.len().min(FRAME_BYTES));
            let length = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes();
            let [a, b, c, _] = length;
            self.stream
                .write_all(&[a, b, c, self.sequence])
                .map_err(connection)?;
            self.stream.write_all(frame).map_err(connection)?;
            self.sequence = self.sequence.wrapping_add(1);
            // A payload of just the size of a frame ends with an empty one.
            if frame.len() < FRAME_BYTES {
                return self.stream.flush().map_err(connection);
            }
            rest = after;
        }
    }

    /// Receives a whole payload.
    pub(crate) fn read(&mut self) -> Result<Vec<u8>> {
        let mut payload = Vec::new();
        let mut open = self.open()?;
        let limit = WHOLE_BYTES as u64 + 1;
        (&mut open)
            .take(limit)
            .read_to_end(&mut payload)
            .map_err(connection)?;
        if payload.len() > WHOLE_BYTES {
            return Err(protocol("the server sent more than 16 MiB in one answer"));
        }
        Ok(payload)
    }

    /// Receives a payload piece by piece. It must be read to its end before anything else is.
    pub(crate) fn open(&mut self) -> Result<Payload<'_, S>> {
        let mut payload = Payload {
            packets: self,
            left: 0,
            is_last: false,
        };
        payload.next_frame().map_err(connection)?;
        Ok(payload)
    }
}

/// A payload that is being received.
pub(crate) struct Payload<'a, S> {
    packets: &'a mut Packets<S>,
    left: usize,
    is_last: bool,
}

impl<S: BufRead> Payload<'_, S> {
    fn next_frame(&mut self) -> io::Result<()> {
        let mut header = [0; 4];
        self.packets.stream.read_exact(&mut header)?;
        let [a, b, c, sequence] = header;
        if sequence != self.packets.sequence {
            return Err(protocol("a packet of the server is out of sequence").into());
        }
        self.packets.sequence = sequence.wrapping_add(1);
        self.left = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        self.is_last = self.left < FRAME_BYTES;
        Ok(())
    }
}

impl<S: BufRead> BufRead for Payload<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.left == 0 && !self.is_last {
            self.next_frame()?;
        }
        if self.left == 0 {
            return Ok(&[]);
        }
        let buffer = self.packets.stream.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(buffer.get(..self.left).unwrap_or(buffer))
    }

    fn consume(&mut self, count: usize) {
        self.left -= count;
        self.packets.stream.consume(count);
    }
}

impl<S: BufRead> Read for Payload<'_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

/// What the other end did that the protocol does not know.
pub(super) fn protocol(problem: &str) -> Error {
    Error::new(ErrorKind::Failed, problem).hint("is there a MySQL or MariaDB server at this port?")
}

/// A stream that broke. An end where more had to come is a server that went away.
pub(crate) fn connection(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Error::new(ErrorKind::Unavailable, "the server closed the connection");
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What is written can be read again.
    #[derive(Default)]
    struct Loop(VecDeque<u8>);

    impl Read for Loop {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0.read(into)
        }
    }

    impl BufRead for Loop {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            self.0.fill_buf()
        }

        fn consume(&mut self, count: usize) {
            self.0.consume(count);
        }
    }

    impl Write for Loop {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_payload_comes_back_whatever_its_size() {
        for size in [0, 1, FRAME_BYTES, FRAME_BYTES + 1] {
            let payload = vec![7; size];
            let mut packets = Packets::new(Loop::default());
            packets.write(&payload).expect("written");
            packets.begin();
            let mut read = Vec::new();
            packets
                .open()
                .expect("opened")
                .read_to_end(&mut read)
                .expect("read");
            assert!(read == payload, "of {size} bytes");
            assert!(packets.stream.0.is_empty(), "of {size} bytes");
        }
    }

    #[test]
    fn a_stream_that_ends_too_early_is_a_server_that_went_away() {
        for bytes in [&[][..], &[5], &[5, 0, 0, 0], &[5, 0, 0, 0, 1, 2]] {
            let mut packets = Packets::new(Loop(bytes.iter().copied().collect()));
            let error = packets.read().expect_err("too short");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{bytes:?}");
        }
    }

    #[test]
    fn a_packet_out_of_sequence_is_refused() {
        let mut packets = Packets::new(Loop([1, 0, 0, 7, 0].into()));
        let error = packets.read().expect_err("out of sequence");
        assert!(error.message().contains("out of sequence"), "{error}");
    }
}
