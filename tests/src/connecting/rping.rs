//! `rping`: the server reads the client's memory, and writes what it read to another place of it.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use ferroce::cm::{ConnParam, Manager};
use ferroce::{Access, CompletionQueue, Context, MemoryRegion, QueuePair, RemoteMemory, WcExt};

use super::{LIMIT, PATIENCE, connect};

/// Bytes of a message: address, key and length of memory.
const MESSAGE: usize = 16;
/// Bytes of a ping.
const SIZE: usize = 64;
const ROUNDS: usize = 5;

/// Where things are in the memory of one end.
const RECEIVED: usize = 0;
const TO_SEND: usize = MESSAGE;
const SOURCE: usize = 64;
const SINK: usize = 256;

struct End {
    qp: QueuePair,
    cq: CompletionQueue,
    memory: MemoryRegion,
}

impl End {
    fn new(context: &Context) -> Result<End> {
        let cq = context.completion_queue(64)?;
        let pd = context.protection_domain()?;
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
        let memory = pd.register(512, access)?;
        let end = End { qp: pd.queue_pair(&cq).build()?, cq, memory };
        end.expect()?;
        Ok(end)
    }

    fn expect(&self) -> Result<()> {
        Ok(self.qp.receive(1, &[self.memory.slice(RECEIVED..RECEIVED + MESSAGE)])?)
    }

    /// The next message; of completions, those of sends are of no interest if they are good.
    fn message(&self) -> Result<RemoteMemory> {
        while self.cq.wait(PATIENCE)?.ok()?.wr_id != 1 {}
        let bytes = self.memory.to_vec(RECEIVED..RECEIVED + MESSAGE);
        self.expect()?;
        let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let addr = u64::from(number(0)) << 32 | u64::from(number(4));
        Ok(RemoteMemory { addr, rkey: number(8), len: number(12).into() })
    }

    /// Tells the peer where it finds memory here.
    fn tell(&self, at: usize) -> Result<()> {
        let mut message = [0; MESSAGE];
        message[..8].copy_from_slice(&(self.memory.addr() + at as u64).to_be_bytes());
        message[8..12].copy_from_slice(&self.memory.rkey().to_be_bytes());
        message[12..].copy_from_slice(&(SIZE as u32).to_be_bytes());
        self.memory.write(TO_SEND, &message);
        self.qp.post().send(2, &[self.memory.slice(TO_SEND..TO_SEND + MESSAGE)]).submit()?;
        Ok(())
    }

    fn done(&self, wr_id: u64) -> Result<()> {
        while self.cq.wait(PATIENCE)?.ok()?.wr_id != wr_id {}
        Ok(())
    }
}

pub(super) fn serve(manager: &Manager, at: SocketAddr, start: impl FnOnce() -> Result<()>) -> Result<()> {
    let listener = manager.listen(at, 1)?;
    start()?;
    let request = listener.next(LIMIT)?;
    let end = End::new(&manager.contexts()[0])?;
    let connection = request.accept(&end.qp, &ConnParam::default(), LIMIT)?;
    for round in 0..ROUNDS {
        let source = end.message()?;
        let sge = [end.memory.slice(SOURCE..SOURCE + SIZE)];
        end.qp.post().read(3, &sge, source).submit()?;
        end.done(3)?;
        let text = end.memory.to_vec(SOURCE..SOURCE + SIZE);
        ensure!(text.starts_with(format!("rdma-ping-{round}:").as_bytes()), "read {text:?}");
        end.tell(SINK)?;
        let sink = end.message()?;
        end.qp.post().write(4, &sge, sink).submit()?;
        end.done(4)?;
        end.tell(SINK)?;
    }
    connection.ended(LIMIT)?;
    Ok(())
}

pub(super) fn call(manager: &Manager, to: SocketAddr) -> Result<()> {
    let (end, connection) = connect(manager, to, &ConnParam::default(), End::new, |end| &end.qp)?;
    for round in 0..ROUNDS {
        let mut text = format!("rdma-ping-{round}: ").into_bytes();
        text.extend((0..).map(|i| b'A' + i % 26).take(SIZE - 1 - text.len()));
        text.push(0);
        end.memory.write(SOURCE, &text);
        end.memory.write(SINK, &[0; SIZE]);
        end.tell(SOURCE)?;
        end.message()?;
        end.tell(SINK)?;
        end.message()?;
        ensure!(end.memory.to_vec(SINK..SINK + SIZE) == text, "what came back is not what was there");
    }
    connection.disconnect()?;
    connection.ended(LIMIT)?;
    Ok(())
}
