//! `<rdma/rdma_cma.h>`: what [`ferroce::cm`] does, for C programs.

mod address;
mod channel;
mod connect;
mod event;
mod id;
mod multicast;
mod options;
mod qp;
pub(crate) mod sockaddr;
mod srq;
pub(crate) mod world;

use ferroce::cm::CmError;

use crate::border::Errno;

impl From<CmError> for Errno {
    fn from(error: CmError) -> Errno {
        Errno(error.errno())
    }
}
