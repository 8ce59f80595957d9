//! Queue pairs: made, connected, asked.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

use ferroce_engine::{
    Access, AddressVector, PathMtu, Psn, QpAttr, QpCap, QpInfo, QpInit, QpState, QpType, Qpn, RecvWr,
    RnrTimer, SendWr, Sge, VerbsError,
};

use crate::completion::CompletionQueue;
use crate::context::Context;
use crate::endpoint::Endpoint;
use crate::error::{Error, verb};
use crate::memory::ProtectionDomain;
use crate::post::SendBatch;
use crate::shared_queue::SharedReceiveQueue;
use crate::why::{self, Death};

/// One end of a connection, reliable unless [described](QueuePairBuilder) otherwise, or a place for datagrams.
///
/// Dropping it destroys it, with everything that is posted to it; completions that are queued already stay.
///
/// ```
/// use std::time::Duration;
/// use ferroce::{Access, Context, Endpoint, Error, Hub, Nic, WcExt};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::new();
/// let end = |address: &str| {
///     let context = Context::new(Nic::builder().address(address.parse().unwrap()).hub(&hub).open()?);
///     let cq = context.completion_queue(64)?;
///     let pd = context.protection_domain()?;
///     let memory = pd.register(64, Access::LOCAL_WRITE | Access::REMOTE_WRITE)?;
///     Ok::<_, Error>((pd.queue_pair(&cq).build()?, cq, memory))
/// };
/// let (a, a_cq, a_memory) = end("192.0.2.1")?;
/// let (b, _b_cq, b_memory) = end("192.0.2.2")?;
///
/// // What each must know of the other travels as text; here it has no long way.
/// let (from_a, from_b) = (a.endpoint().to_string(), b.endpoint().to_string());
/// a.connect(&from_b.parse::<Endpoint>()?)?;
/// b.connect(&from_a.parse::<Endpoint>()?)?;
///
/// a_memory.write(0, b"written from afar");
/// a.post().write(1, &[a_memory.sge()], b_memory.remote()).submit()?;
/// a_cq.wait(Duration::from_secs(5))?.ok()?;
/// assert_eq!(b_memory.to_vec(..17), b"written from afar");
/// # Ok(())
/// # }
/// ```
pub struct QueuePair {
    qpn: Qpn,
    psn: Psn,
    kind: Kind,
    gid_index: u8,
    // Kept alive, as the NIC's queue pair refers to them.
    pd: ProtectionDomain,
    send_cq: CompletionQueue,
    recv_cq: CompletionQueue,
    _srq: Option<SharedReceiveQueue>,
}

/// What is sent how.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Reliable,
    Unreliable,
    Datagrams { qkey: u32 },
}

impl Kind {
    fn qp_type(self) -> QpType {
        match self {
            Kind::Reliable => QpType::Rc,
            Kind::Unreliable => QpType::Uc,
            Kind::Datagrams { .. } => QpType::Ud,
        }
    }
}

impl QueuePair {
    /// What the peer must know to connect to this queue pair.
    pub fn endpoint(&self) -> Endpoint {
        let context = self.context();
        Endpoint {
            gid: context.addresses()[usize::from(self.gid_index)],
            qpn: self.qpn,
            psn: self.psn,
            mtu: context.path_mtu(),
        }
    }

    /// Connects to the peer's queue pair, with the larger path MTU that both have and [`ConnectOptions`] as
    /// usual. The peer must do the same before messages arrive there.
    ///
    /// # Errors
    /// When it is connected already, or the peer's address is of the other version of IP.
    pub fn connect(&self, peer: &Endpoint) -> Result<(), Error> {
        self.connect_with(peer, &ConnectOptions::default())
    }

    /// Connects as told; what is said about acknowledgements means nothing to an unreliable connection.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect), and when an option is out of its range.
    pub fn connect_with(&self, peer: &Endpoint, options: &ConnectOptions) -> Result<(), Error> {
        let smaller = peer.mtu.min(self.context().path_mtu());
        let av = AddressVector {
            traffic_class: options.traffic_class,
            hop_limit: options.hop_limit,
            flow_label: options.flow_label,
            ..AddressVector::new(self.gid_index, peer.gid)
        };
        let mtu = options.path_mtu.unwrap_or(smaller);
        let (rtr, rts) = match self.kind {
            Kind::Reliable => (
                QpAttr {
                    min_rnr_timer: Some(options.min_rnr_timer),
                    max_dest_rd_atomic: Some(options.max_dest_rd_atomic),
                    ..QpAttr::rtr(av, peer.qpn, peer.psn, mtu)
                },
                QpAttr {
                    timeout: Some(options.timeout),
                    retry_cnt: Some(options.retry_cnt),
                    rnr_retry: Some(options.rnr_retry),
                    max_rd_atomic: Some(options.max_rd_atomic),
                    ..QpAttr::rts(self.psn)
                },
            ),
            Kind::Unreliable => {
                (QpAttr::rtr_uc(av, peer.qpn, peer.psn, mtu), QpAttr::rts_unreliable(self.psn))
            }
            Kind::Datagrams { .. } => {
                let cause = VerbsError::Invalid("datagrams have no peer, each names where it goes");
                return Err(verb("connect the queue pair")(cause));
            }
        };
        let connected = self.context().nic().with(|device, now| {
            device.modify_qp(now, self.qpn, &rtr)?;
            device.modify_qp(now, self.qpn, &rts)
        });
        connected.map_err(verb("connect the queue pair"))
    }

    /// Starts a batch of send requests.
    pub fn post(&self) -> SendBatch<'_> {
        SendBatch::new(self)
    }

    /// Posts send requests (`ibv_post_send`).
    ///
    /// # Errors
    /// [`Error::Post`] with the first that was refused.
    pub fn post_send(&self, wrs: &[SendWr<'_>]) -> Result<(), Error> {
        let posted = self.context().nic().with(|device, now| device.post_send(now, self.qpn, wrs));
        posted.map_err(|error| {
            let wr_id = wrs.get(error.index).map_or(0, |wr| wr.wr_id);
            Error::Post { wr_id, of: wrs.len(), qpn: self.qpn, error }
        })
    }

    /// Posts a receive: a message of the peer's goes to `sges`.
    ///
    /// # Errors
    /// [`Error::Post`] when the receive queue is full, or there are more entries than it was made for.
    pub fn receive(&self, wr_id: u64, sges: &[Sge]) -> Result<(), Error> {
        self.post_recv(&[RecvWr { wr_id, sges }])
    }

    /// Posts receive requests (`ibv_post_recv`).
    ///
    /// # Errors
    /// [`Error::Post`] with the first that was refused.
    pub fn post_recv(&self, wrs: &[RecvWr<'_>]) -> Result<(), Error> {
        let posted = self.context().nic().with(|device, now| device.post_recv(now, self.qpn, wrs));
        posted.map_err(|error| {
            let wr_id = wrs.get(error.index).map_or(0, |wr| wr.wr_id);
            Error::Post { wr_id, of: wrs.len(), qpn: self.qpn, error }
        })
    }

    /// Changes state and attributes (`ibv_modify_qp`).
    ///
    /// # Errors
    /// When the transition is illegal, or its attributes are not those it needs.
    pub fn modify(&self, change: &QpAttr) -> Result<(), Error> {
        let modified = self.context().nic().with(|device, now| device.modify_qp(now, self.qpn, change));
        modified.map_err(verb("modify the queue pair"))
    }

    /// Brings it back to where it was when it was made, whatever has happened to it, so that it can be connected
    /// again. What is posted is forgotten.
    ///
    /// # Errors
    /// None that a queue pair of this interface gives cause to.
    pub fn reset(&self) -> Result<(), Error> {
        let access = self.info().attr.access.unwrap_or_default();
        self.modify(&QpAttr::to(QpState::Reset))?;
        self.prepare(access)
    }

    /// From RESET to where it can be used, or connected.
    fn prepare(&self, access: Access) -> Result<(), Error> {
        let Kind::Datagrams { qkey } = self.kind else { return self.modify(&QpAttr::init(access)) };
        self.modify(&QpAttr::init_ud(qkey))?;
        self.modify(&QpAttr::to(QpState::Rtr))?;
        self.modify(&QpAttr::rts_unreliable(self.psn))
    }

    /// Everything about it (`ibv_query_qp`).
    pub fn info(&self) -> QpInfo {
        let info = self.context().nic().with(|device, _| device.query_qp(self.qpn));
        info.expect("the queue pair lives as long as its handle")
    }

    /// Its state.
    pub fn state(&self) -> QpState {
        self.info().state
    }

    /// Why it is in an error state: what happened, what led there, and what to change. `None` while it is in none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ferroce::{RemoteMemory, WcExt};
    /// let (a, b) = ferroce::pair()?;
    /// let wrong = RemoteMemory { rkey: b.memory.rkey() ^ 0x100, ..b.memory.remote() };
    /// a.qp.post().write(1, &[a.memory.slice(0..5)], wrong).submit()?;
    /// assert!(a.cq.wait(Duration::from_secs(5))?.ok().is_err());
    ///
    /// let why = a.qp.why().expect("it is in error");
    /// assert_eq!(why.reason.name(), "remote-access");
    /// println!("{why}");
    /// # assert!(why.to_string().contains("work request 1 ended with RemAccessErr. The R_Key is unknown"));
    /// # Ok::<_, ferroce::Error>(())
    /// ```
    pub fn why(&self) -> Option<Death> {
        why::of_queue_pair(&self.info())
    }

    /// Its number.
    pub fn qpn(&self) -> Qpn {
        self.qpn
    }

    /// Where completions of sends go.
    pub fn send_cq(&self) -> &CompletionQueue {
        &self.send_cq
    }

    /// Where completions of receives go.
    pub fn recv_cq(&self) -> &CompletionQueue {
        &self.recv_cq
    }

    /// The domain it belongs to.
    pub fn protection_domain(&self) -> &ProtectionDomain {
        &self.pd
    }

    /// The NIC it belongs to.
    pub fn context(&self) -> &Context {
        self.pd.context()
    }
}

impl Drop for QueuePair {
    fn drop(&mut self) {
        self.leave_all();
        let destroyed = self.context().nic().with(|device, _| device.destroy_qp(self.qpn));
        debug_assert!(destroyed.is_ok(), "only this destroys the queue pair: {destroyed:?}");
    }
}

impl fmt::Debug for QueuePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueuePair({})", self.endpoint())
    }
}

/// How a connection behaves; the defaults are what [`QueuePair::connect`] uses.
///
/// ```
/// use ferroce::ConnectOptions;
///
/// let impatient = ConnectOptions { timeout: 8, retry_cnt: 1, ..ConnectOptions::default() };
/// # assert_eq!(impatient.rnr_retry, 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Payload of a full packet; `None` for the largest that both ends can use. Both ends must agree.
    pub path_mtu: Option<PathMtu>,
    /// Local ACK timeout, 0..=31: 4.096 µs · 2^timeout; 0 waits for ever. As usual 14, or 67 ms.
    pub timeout: u8,
    /// Retransmissions without progress before giving up, 0..=7. As usual 7.
    pub retry_cnt: u8,
    /// Retransmissions to a peer without receives before giving up, 0..=7; 7, as usual, for ever.
    pub rnr_retry: u8,
    /// How long the peer is asked to wait when no receive is posted here. As usual 0.64 ms.
    pub min_rnr_timer: RnrTimer,
    /// READs and atomics that may be outstanding towards the peer, 0..=128. As usual 16.
    pub max_rd_atomic: u8,
    /// READs and atomics that the peer may have outstanding, 0..=128. As usual 16.
    pub max_dest_rd_atomic: u8,
    /// Traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// Hop limit (TTL). As usual 64.
    pub hop_limit: u8,
    /// IPv6 flow label, 20 bits; 0, as usual, for none.
    pub flow_label: u32,
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions {
            path_mtu: None,
            timeout: 14,
            retry_cnt: 7,
            rnr_retry: 7,
            min_rnr_timer: RnrTimer(12),
            max_rd_atomic: 16,
            max_dest_rd_atomic: 16,
            traffic_class: 0,
            hop_limit: 64,
            flow_label: 0,
        }
    }
}

/// Describes a queue pair and makes it; from [`ProtectionDomain::queue_pair`].
///
/// ```
/// # let (a, _) = ferroce::pair()?;
/// let qp = a.pd.queue_pair(&a.cq).max_send_wr(256).max_inline_data(128).build()?;
/// assert_eq!(qp.info().init.cap.max_send_wr, 256);
/// # Ok::<_, ferroce::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a description makes no queue pair until it is built"]
pub struct QueuePairBuilder {
    pd: ProtectionDomain,
    send_cq: CompletionQueue,
    recv_cq: CompletionQueue,
    cap: QpCap,
    signal_all: bool,
    srq: Option<SharedReceiveQueue>,
    kind: Kind,
    access: Access,
    gid_index: u8,
    psn: Option<Psn>,
}

impl QueuePairBuilder {
    pub(crate) fn new(pd: &ProtectionDomain, cq: &CompletionQueue) -> QueuePairBuilder {
        QueuePairBuilder {
            pd: pd.clone(),
            send_cq: cq.clone(),
            recv_cq: cq.clone(),
            cap: QpCap::default(),
            signal_all: false,
            srq: None,
            kind: Kind::Reliable,
            access: Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC,
            gid_index: 0,
            psn: None,
        }
    }

    /// One end of an unreliable connection (UC): it takes SENDs and WRITEs, and what the network loses stays lost.
    /// A message arrives whole or not at all, except that the beginning of a WRITE may be seen in memory.
    ///
    /// ```
    /// use ferroce::{Access, Error};
    ///
    /// let (a, b) = ferroce::pair()?;
    /// let (from, to) = (a.pd.queue_pair(&a.cq).unreliable().build()?, b.pd.queue_pair(&b.cq).unreliable().build()?);
    /// from.connect(&to.endpoint())?;
    /// to.connect(&from.endpoint())?;
    /// to.receive(1, &[b.memory.sge()])?;
    /// from.post().send_inline(2, b"perhaps").submit()?;
    /// a.cq.wait(None)?; // sent, which says nothing about arriving
    /// # Ok::<_, Error>(())
    /// ```
    pub fn unreliable(self) -> Self {
        QueuePairBuilder { kind: Kind::Unreliable, ..self }
    }

    /// A place for datagrams (UD), which carry `qkey` or are dropped here. It needs no peer: each datagram is sent
    /// [to](crate::SendBatch::to) where its request says, and has at most [`Context::path_mtu`] bytes. Receives
    /// need 40 bytes more, for the network header that comes first.
    pub fn datagrams(self, qkey: u32) -> Self {
        QueuePairBuilder { kind: Kind::Datagrams { qkey }, ..self }
    }

    /// Has receives complete to another queue than sends.
    pub fn recv_cq(self, cq: &CompletionQueue) -> Self {
        QueuePairBuilder { recv_cq: cq.clone(), ..self }
    }

    /// Takes receives from a queue that it shares with others, instead of one of its own.
    pub fn shared_receives(self, queue: &SharedReceiveQueue) -> Self {
        QueuePairBuilder { srq: Some(queue.clone()), ..self }
    }

    /// Send requests that can be outstanding; 64 if nothing is said.
    pub fn max_send_wr(mut self, requests: u32) -> Self {
        self.cap.max_send_wr = requests;
        self
    }

    /// Receive requests that can be posted; 64 if nothing is said.
    pub fn max_recv_wr(mut self, requests: u32) -> Self {
        self.cap.max_recv_wr = requests;
        self
    }

    /// Scatter/gather entries of a send request; 4 if nothing is said.
    pub fn max_send_sge(mut self, entries: u32) -> Self {
        self.cap.max_send_sge = entries;
        self
    }

    /// Scatter/gather entries of a receive request; 4 if nothing is said.
    pub fn max_recv_sge(mut self, entries: u32) -> Self {
        self.cap.max_recv_sge = entries;
        self
    }

    /// Bytes that can be posted inline; 64 if nothing is said.
    pub fn max_inline_data(mut self, bytes: u32) -> Self {
        self.cap.max_inline_data = bytes;
        self
    }

    /// Has every send request complete, signaled or not (`sq_sig_all`).
    pub fn signal_all(self, signal_all: bool) -> Self {
        QueuePairBuilder { signal_all, ..self }
    }

    /// What the peer may do through this queue pair. If nothing is said it may do everything, and the rights of
    /// the memory regions decide.
    pub fn access(self, access: Access) -> Self {
        QueuePairBuilder { access, ..self }
    }

    /// Which of the NIC's addresses to use; the first if nothing is said.
    pub fn gid_index(self, index: u8) -> Self {
        QueuePairBuilder { gid_index: index, ..self }
    }

    /// The first PSN to send; chosen at random if nothing is said.
    pub fn psn(self, psn: Psn) -> Self {
        QueuePairBuilder { psn: Some(psn), ..self }
    }

    /// Makes the queue pair: receives can be posted, and it can be connected (it is in state INIT), or datagrams can
    /// be sent (it is in RTS).
    ///
    /// # Errors
    /// When a size is above the NIC's [`Limits`](crate::Limits), a queue belongs to another NIC, or there
    /// is no such address.
    pub fn build(self) -> Result<QueuePair, Error> {
        let context = self.pd.context();
        if usize::from(self.gid_index) >= context.addresses().len() {
            return Err(verb("create a queue pair")(VerbsError::Invalid("gid_index")));
        }
        let init = QpInit {
            recv_cq: self.recv_cq.id(),
            cap: self.cap,
            signal_all: self.signal_all,
            srq: self.srq.as_ref().map(SharedReceiveQueue::id),
            ..QpInit::new(self.kind.qp_type(), self.pd.id(), self.send_cq.id())
        };
        let made = context.nic().with(|device, _| device.create_qp(&init));
        let qp = QueuePair {
            qpn: made.map_err(verb("create a queue pair"))?,
            psn: self.psn.unwrap_or_else(random_psn),
            kind: self.kind,
            gid_index: self.gid_index,
            pd: self.pd,
            send_cq: self.send_cq,
            recv_cq: self.recv_cq,
            _srq: self.srq,
        };
        qp.prepare(self.access)?;
        Ok(qp)
    }
}

/// A PSN that differs from connection to connection, so that late packets of an old one are not taken for new.
fn random_psn() -> Psn {
    // The standard library seeds each hasher at random.
    Psn::new(RandomState::new().build_hasher().finish() as u32)
}
