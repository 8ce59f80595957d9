//! `rstream`: after a word to and fro, the client sends so many transfers in each round, and the server as many back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferroce::cm::Manager;
use ferroce::rsocket::{Ready, Socket};

use super::PATIENCE;

/// Bytes of the word by which both see that the other is there.
pub(super) const WORD: usize = 16;
const ROUNDS: usize = 3;
/// Bytes of the five transfers of a round.
const ROUND: usize = 5 * 100_000;

pub(super) fn serve(manager: &Manager, at: SocketAddr, start: impl FnOnce() -> Result<()>) -> Result<()> {
    let socket = accepted(&Socket::new(manager), at, start)?;
    let mut data = vec![0; ROUND];
    for len in std::iter::once(WORD).chain([ROUND; ROUNDS]) {
        receive(&socket, &mut data[..len])?;
        ensure!(socket.send(&data[..len])? == len, "the connection ended while sending");
    }
    socket.close()?;
    Ok(())
}

pub(super) fn call(manager: &Manager, to: SocketAddr) -> Result<()> {
    let socket = connected(|| Socket::new(manager), to)?;
    let data = vec![7; ROUND];
    let mut back = vec![0; ROUND];
    for len in std::iter::once(WORD).chain([ROUND; ROUNDS]) {
        ensure!(socket.send(&data[..len])? == len, "the connection ended while sending");
        receive(&socket, &mut back[..len])?;
    }
    socket.close()?;
    Ok(())
}

/// The first connection to a socket; `start` has the client started.
pub(super) fn accepted(
    listener: &Socket,
    at: SocketAddr,
    start: impl FnOnce() -> Result<()>,
) -> Result<Socket> {
    listener.bind(at)?;
    listener.listen(1)?;
    start()?;
    wait(listener)?;
    Ok(listener.accept()?.0)
}

/// A socket that is connected, as soon as somebody listens.
pub(super) fn connected(make: impl Fn() -> Socket, to: SocketAddr) -> Result<Socket> {
    const REFUSED: i32 = 111;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let socket = make();
        match socket.connect(to) {
            Ok(()) => return Ok(socket),
            Err(error) if error.errno() == REFUSED && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn wait(socket: &Socket) -> Result<()> {
    let read = Ready { read: true, ..Ready::default() };
    socket.wait_ready(read, PATIENCE).context("nothing came")?;
    Ok(())
}

pub(super) fn receive(socket: &Socket, data: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < data.len() {
        wait(socket)?;
        let count = socket.recv(&mut data[done..])?;
        ensure!(count > 0, "the peer ended after {done} of {} bytes", data.len());
        done += count;
    }
    Ok(())
}
