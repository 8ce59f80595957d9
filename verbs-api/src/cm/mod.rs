//! Connections by address and port: what librdmacm is to libibverbs.
//!
//! Queue pairs can be connected by hand, with numbers that travel by some other way ([`Endpoint`](crate::Endpoint)).
//! Here they are connected as sockets are: one side listens at an address and port, the other connects to it, and
//! the NICs exchange what they must know. Peers may be programs that use librdmacm, with any NIC.
//!
//! There are two styles:
//!
//! * [`Manager::listen`] and [`Manager::dial`] wait until things are done; see [`Listener`] for a whole program.
//! * An [`Id`] does the same in steps, and an [`EventChannel`] tells how each of them ended. The channel can be
//!   polled, waited for, awaited, or leave the waking to a [`Waker`](std::task::Waker). Any number of identifiers
//!   share a channel, whatever their NIC. This is how librdmacm works, to the letter of its events.
//!
//! ```
//! use std::time::Duration;
//! use ferroce::cm::{ConnParam, EventKind, Manager, PortSpace};
//!
//! let (a, b) = ferroce::pair()?;
//! let manager = Manager::new();
//! manager.add(&a.context);
//! manager.add(&b.context);
//! let channel = manager.event_channel();
//!
//! let server = channel.create_id(PortSpace::Tcp);
//! server.bind("192.0.2.2:7471".parse().unwrap())?;
//! server.listen(1)?;
//!
//! let client = channel.create_id(PortSpace::Tcp);
//! client.resolve_addr(Some("192.0.2.1:0".parse().unwrap()), "192.0.2.2:7471".parse().unwrap(), Duration::ZERO)?;
//! let (a_qp, b_qp) = (a.pd.queue_pair(&a.cq).build()?, b.pd.queue_pair(&b.cq).build()?);
//! let (mut established, mut accepted) = (0, None);
//! while established < 2 {
//!     let event = channel.wait(Duration::from_secs(5))?;
//!     match event.kind {
//!         EventKind::AddrResolved => client.resolve_route(Duration::ZERO)?,
//!         EventKind::RouteResolved => {
//!             client.attach(&a_qp)?;
//!             client.connect(&ConnParam::default())?;
//!         }
//!         EventKind::ConnectRequest => {
//!             event.id.attach(&b_qp)?;
//!             event.id.accept(&ConnParam::default())?;
//!             accepted = Some(event.id);
//!         }
//!         EventKind::Established => established += 1,
//!         other => panic!("{other:?}"),
//!     }
//! }
//! # assert!(accepted.is_some());
//! # Ok::<_, ferroce::Error>(())
//! ```

mod calls;
mod channel;
mod convert;
mod dispatch;
mod error;
mod event;
mod id;
mod manager;
mod multicast;
mod param;
mod ports;
mod simple;

pub use channel::EventChannel;
pub(crate) use dispatch::Dispatcher;
pub use error::CmError;
pub use event::{ConnEvent, Event, EventKind, Param, UdEvent};
pub use ferroce_wire::cm::{PortSpace, RejectReason, SidrStatus};
pub use id::{Id, Options};
pub use manager::Manager;
pub use param::ConnParam;
pub use simple::{Connection, Dialled, Listener, Request};

/// The Q_Key of datagram services (`RDMA_UDP_QKEY`).
pub const UD_QKEY: u32 = 0x0123_4567;
