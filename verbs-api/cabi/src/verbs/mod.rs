//! `<infiniband/verbs.h>`, one file for each kind of object.
//!
//! What one file does for another it does by functions that are not exported: an exported one must be compiled where
//! its version is said.

mod ah;
mod async_event;
pub(crate) mod channel;
mod compat;
mod context;
pub(crate) mod cq;
mod cq_ex;
mod device;
mod dm;
mod gid;
mod mcast;
pub(crate) mod missing;
mod mr;
mod mw;
mod names;
pub(crate) mod pd;
mod post;
mod private;
pub(crate) mod qp;
mod qp_attr;
mod qp_ex;
mod query;
mod rate;
pub(crate) mod srq;
pub(crate) mod xrcd;

pub(crate) use context::{context, open};
pub(crate) use gid::gid;
pub(crate) use pd::Domain;
pub(crate) use qp::qp;
pub(crate) use qp_attr::to_c;
