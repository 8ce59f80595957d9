//! `<infiniband/verbs.h>`, one file for each kind of object.

mod ah;
mod async_event;
mod channel;
mod compat;
mod context;
mod cq;
mod cq_ex;
mod device;
mod dm;
mod gid;
mod mcast;
pub(crate) mod missing;
mod mr;
mod mw;
mod names;
mod pd;
mod post;
mod private;
mod qp;
mod qp_attr;
mod qp_ex;
mod query;
mod rate;

pub(crate) use pd::Domain;
