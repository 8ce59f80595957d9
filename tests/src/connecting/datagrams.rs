//! `udaddy`: datagrams to a service and back to who asked. `mckey`: datagrams to a group.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ferroce::cm::{
    ConnParam, Event, EventChannel, EventKind, Id, Manager, Param, PortSpace, UD_QKEY, UdEvent,
};
use ferroce::{
    Access, AddressHandle, CompletionQueue, Context, Error, ImmDt, MemoryRegion, Qpn, QueuePair, Wc, WcExt,
};

use super::{LIMIT, PATIENCE};
use crate::program::Place;
use crate::stand_in::SENDERS;
use crate::vm::Guest;

const MESSAGES: usize = 10;
const SIZE: usize = 1000;
/// After this long without a datagram no more are to come from a sender, on an emulated CPU.
const SILENCE: Duration = Duration::from_secs(10);
/// The port of `udaddy`, which cannot be chosen.
pub(super) const PORT: u16 = 7174;
/// The group of `mckey`.
pub(super) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 0, 1);

/// Bytes of the network header in front of a received datagram.
const HEADER: usize = 40;
const SENT: u64 = 1000;
/// How the kernel says that nobody listens.
const NO_SERVICE: i32 = 1;

/// A queue pair for datagrams with its memory: a place for each receive, then what is sent.
struct End {
    qp: QueuePair,
    cq: CompletionQueue,
    memory: MemoryRegion,
}

impl End {
    fn new(context: &Context) -> Result<End> {
        let cq = context.completion_queue(64)?;
        let pd = context.protection_domain()?;
        let memory = pd.register((MESSAGES + 1) * (HEADER + SIZE), Access::LOCAL_WRITE)?;
        let qp = pd.queue_pair(&cq).datagrams(UD_QKEY).build()?;
        let end = End { qp, cq, memory };
        for index in 0..MESSAGES {
            end.qp.receive(index as u64, &[end.memory.slice(place(index))])?;
        }
        Ok(end)
    }

    /// Sends so many datagrams as soon as there is room for each.
    fn send(&self, to: &AddressHandle, qpn: Qpn, qkey: u32, count: usize) -> Result<()> {
        let data = place(MESSAGES).start;
        let imm = ImmDt(self.qp.qpn().value().to_be_bytes());
        for _ in 0..count {
            let sge = [self.memory.slice(data..data + SIZE)];
            self.qp.post().send_imm(SENT, &sge, imm).to(to, qpn, qkey).submit()?;
            while self.next()?.wr_id != SENT {}
        }
        Ok(())
    }

    /// Waits for so many datagrams. Gives the completion of the last.
    fn receive(&self, count: usize) -> Result<Wc> {
        let mut last = None;
        for _ in 0..count {
            let wc = self.next()?;
            judge(&wc)?;
            last = Some(wc);
        }
        last.context("nothing was asked for")
    }

    /// Counts the datagrams that come, up to `count`, until none has come for a while.
    fn count(&self, count: usize) -> Result<usize> {
        for received in 0..count {
            match self.cq.wait(SILENCE) {
                Ok(wc) => judge(&wc.ok()?)?,
                Err(Error::Timeout(_)) => return Ok(received),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(count)
    }

    fn next(&self) -> Result<Wc> {
        Ok(self.cq.wait(PATIENCE)?.ok()?)
    }
}

/// What is wrong with a datagram.
fn judge(wc: &Wc) -> Result<()> {
    ensure!(wc.byte_len as usize == HEADER + SIZE, "a datagram of {} bytes", wc.byte_len);
    let sender = wc.imm.context("a datagram without immediate data")?;
    ensure!(sender.0 == wc.src_qp.to_be_bytes(), "{sender:?} from queue pair {}", wc.src_qp);
    Ok(())
}

fn place(index: usize) -> std::ops::Range<usize> {
    index * (HEADER + SIZE)..(index + 1) * (HEADER + SIZE)
}

fn expect(channel: &EventChannel, kind: EventKind) -> Result<Event> {
    let event = channel.wait(LIMIT)?;
    ensure!(event.kind == kind, "{:?} with {} instead of {kind:?}", event.kind, event.status);
    Ok(event)
}

fn way(event: Event) -> Result<UdEvent> {
    let Param::Ud(way) = event.param else { bail!("no way to a datagram service in {event:?}") };
    Ok(way)
}

/// `udaddy` as the server.
pub(super) fn serve(manager: &Manager, at: SocketAddr, start: impl FnOnce() -> Result<()>) -> Result<()> {
    let channel = manager.event_channel();
    let listener = channel.create_id(PortSpace::Udp);
    listener.bind(at)?;
    listener.listen(1)?;
    start()?;
    let request = expect(&channel, EventKind::ConnectRequest)?;
    let end = End::new(&manager.contexts()[0])?;
    request.id.attach(&end.qp)?;
    request.id.accept(&ConnParam::default())?;
    let last = end.receive(MESSAGES)?;
    let start = place(MESSAGES - 1).start;
    let header = end.memory.to_vec(start..start + HEADER);
    let back = end.qp.protection_domain().address_handle_from(&last, &header)?;
    end.send(&back, Qpn::new(last.src_qp), UD_QKEY, MESSAGES)
}

/// `udaddy` as the client.
pub(super) fn call(manager: &Manager, to: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let channel = manager.event_channel();
        let id = channel.create_id(PortSpace::Udp);
        id.resolve_addr(None, to, PATIENCE)?;
        expect(&channel, EventKind::AddrResolved)?;
        id.resolve_route(PATIENCE)?;
        expect(&channel, EventKind::RouteResolved)?;
        let end = End::new(&manager.contexts()[0])?;
        id.attach(&end.qp)?;
        id.connect(&ConnParam::default())?;
        let event = channel.wait(LIMIT)?;
        match (event.kind, event.status) {
            (EventKind::Established, _) => {
                let way = way(event)?;
                let to = handle(&end, &way)?;
                // The server answers when it has all of them, so nothing comes back before.
                end.send(&to, way.qp_num, way.qkey, MESSAGES)?;
                end.receive(MESSAGES)?;
                return Ok(());
            }
            (EventKind::Unreachable, NO_SERVICE) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(100));
            }
            (kind, status) => bail!("{kind:?} with {status}"),
        }
    }
}

fn handle(end: &End, way: &UdEvent) -> Result<AddressHandle> {
    Ok(end.qp.protection_domain().address_handle_with(way.av.context("no address in the answer")?)?)
}

/// `mckey` as the receiver.
/// See [`SENDERS`] for why it takes more than one sender now and then.
pub(super) fn listen_to_group(
    manager: &Manager,
    at: SocketAddr,
    mut start: impl FnMut() -> Result<()>,
) -> Result<()> {
    let end = End::new(&manager.contexts()[0])?;
    let (_id, _) = join(manager, at.ip(), Some(&end))?;
    let mut received = 0;
    for _ in 0..SENDERS {
        start()?;
        received += end.count(MESSAGES - received)?;
        if received == MESSAGES {
            return Ok(());
        }
    }
    bail!("{received} of {MESSAGES} datagrams from {SENDERS} senders")
}

/// `mckey` as the sender: often enough, from when the guest's kernel has joined, for the program there to be ready.
pub(super) fn call_group(manager: &Manager, from: IpAddr, guest: &Guest) -> Result<()> {
    const TIMES: u32 = 20;
    let end = End::new(&manager.contexts()[0])?;
    let (_id, way) = join(manager, from, None)?;
    let to = handle(&end, &way)?;
    Place::Guest(guest).wait_for_member(GROUP)?;
    for _ in 0..TIMES {
        end.send(&to, way.qp_num, way.qkey, MESSAGES)?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn join(manager: &Manager, at: IpAddr, member: Option<&End>) -> Result<(Id, UdEvent)> {
    let channel = manager.event_channel();
    let id = channel.create_id(PortSpace::Udp);
    id.bind(SocketAddr::new(at, 0))?;
    if let Some(end) = member {
        id.attach(&end.qp)?;
    }
    id.join_multicast(GROUP.into())?;
    let way = way(expect(&channel, EventKind::MulticastJoin)?)?;
    Ok((id, way))
}
