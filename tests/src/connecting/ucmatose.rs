//! `ucmatose`: when the connection is there the server sends, then the client; the server ends it.

use std::net::SocketAddr;

use anyhow::Result;
use ferroce::cm::{ConnParam, Manager};
use ferroce::{Access, CompletionQueue, Context, MemoryRegion, QueuePair, WcExt};

use super::{LIMIT, PATIENCE, connect};

const MESSAGES: usize = 10;
const SIZE: usize = 3000;

struct End {
    qp: QueuePair,
    cq: CompletionQueue,
    memory: MemoryRegion,
}

impl End {
    fn new(context: &Context) -> Result<End> {
        let cq = context.completion_queue(64)?;
        let pd = context.protection_domain()?;
        let memory = pd.register(SIZE, Access::LOCAL_WRITE)?;
        let qp = pd.queue_pair(&cq).build()?;
        for wr_id in 0..MESSAGES {
            qp.receive(wr_id as u64, &[memory.sge()])?;
        }
        Ok(End { qp, cq, memory })
    }

    fn send_all(&self) -> Result<()> {
        for wr_id in 0..MESSAGES {
            self.qp.post().send(wr_id as u64, &[self.memory.sge()]).submit()?;
        }
        Ok(())
    }

    fn complete(&self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.cq.wait(PATIENCE)?.ok()?;
        }
        Ok(())
    }
}

pub(super) fn serve(manager: &Manager, at: SocketAddr, start: impl FnOnce() -> Result<()>) -> Result<()> {
    let listener = manager.listen(at, 1)?;
    start()?;
    let request = listener.next(LIMIT)?;
    let end = End::new(&manager.contexts()[0])?;
    let connection = request.accept(&end.qp, &ConnParam::default(), LIMIT)?;
    end.send_all()?;
    end.complete(2 * MESSAGES)?;
    connection.disconnect()?;
    connection.ended(LIMIT)?;
    Ok(())
}

pub(super) fn call(manager: &Manager, to: SocketAddr) -> Result<()> {
    let (end, connection) = connect(manager, to, &ConnParam::default(), End::new, |end| &end.qp)?;
    end.complete(MESSAGES)?;
    end.send_all()?;
    end.complete(MESSAGES)?;
    connection.ended(LIMIT)?;
    Ok(())
}
