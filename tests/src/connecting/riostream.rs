//! `riostream`: after a word to and fro, each side writes into memory that the other has mapped. The last byte of a
//! transfer says that it is there.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ferroce::cm::Manager;
use ferroce::rsocket::Socket;
use ferroce_engine::{Buffer, Region};

use super::PATIENCE;
use super::rstream::{self, WORD, receive};

const ROUNDS: usize = 4;
const SIZE: usize = 100_000;

/// What neither side takes for the end of a transfer that it waits for first.
const NO_MARKER: u8 = 0xFF;

/// A socket with the memory that the peer writes to.
struct End {
    socket: Socket,
    memory: Buffer,
    marker: u8,
    /// Transfers so far, of both directions together.
    round: usize,
}

pub(super) fn serve(manager: &Manager, at: SocketAddr, start: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut end = End::new(rstream::accepted(&listener(manager), at, start)?)?;
    let mut word = [0; WORD];
    receive(&end.socket, &mut word)?;
    end.say(&word)?;
    for _ in 0..ROUNDS {
        end.expect()?;
        end.write()?;
        end.round += 1;
    }
    Ok(end.socket.close()?)
}

pub(super) fn call(manager: &Manager, to: SocketAddr) -> Result<()> {
    let mut end = End::new(rstream::connected(|| listener(manager), to)?)?;
    let mut word = [0; WORD];
    end.say(&word)?;
    receive(&end.socket, &mut word)?;
    for _ in 0..ROUNDS {
        end.write()?;
        end.expect()?;
        end.round += 1;
    }
    Ok(end.socket.close()?)
}

/// A socket with room for one mapping of the peer's.
fn listener(manager: &Manager) -> Socket {
    let socket = Socket::new(manager);
    socket.set_options(ferroce::rsocket::Options { mappings: 1, ..socket.options() });
    socket
}

impl End {
    fn new(socket: Socket) -> Result<End> {
        let memory = Buffer::new(SIZE);
        memory.write(SIZE - 1, &[NO_MARKER]);
        socket.map_region(Region::from(&memory), Some(0))?;
        Ok(End { socket, memory, marker: 0, round: 0 })
    }

    fn say(&self, word: &[u8]) -> Result<()> {
        ensure!(self.socket.send(word)? == word.len(), "the connection ended while sending");
        Ok(())
    }

    /// What a transfer of this round holds: bytes that count on from round to round.
    fn pattern(&self) -> Vec<u8> {
        let first = self.round * (SIZE - 1);
        let mut data: Vec<u8> = (first..first + SIZE - 1).map(|value| value as u8).collect();
        data.push(self.marker);
        data
    }

    fn write(&mut self) -> Result<()> {
        let data = self.pattern();
        ensure!(self.socket.write_mapped(&data, 0)? == SIZE, "the connection ended while writing");
        self.marker += 1;
        Ok(())
    }

    fn expect(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.memory.to_vec(SIZE - 1, 1) != [self.marker] {
            ensure!(Instant::now() < deadline, "transfer {} does not end", self.marker);
            thread::sleep(Duration::from_millis(1));
        }
        ensure!(self.memory.to_vec(0, SIZE) == self.pattern(), "transfer {} has wrong bytes", self.marker);
        self.marker += 1;
        Ok(())
    }
}
