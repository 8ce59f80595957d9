//! The C face of Ferroce: one shared object that is libibverbs.so.1 and librdmacm.so.1 for programs that were
//! compiled against those.
//!
//! It translates, and decides as little as it can: what verbs mean is the engine's business, who drives the
//! network is `ferroce-net`'s.
//!
//! * `abi`: the structures of the C headers.
//! * `border`: how functions are exported, and how errors cross.
//! * `handle`: objects behind C pointers, with which stale pointers are noticed.
//! * `mailbox`: file descriptors that become readable when events wait.
//! * `reader`: the threads that wait there while it is destroyed.
//! * `process`: what there is once in a process: devices and the NICs behind them.
//! * `verbs` is `<infiniband/verbs.h>`.
//! * `cm` is `<rdma/rdma_cma.h>`.
//! * `rsocket` is `<rdma/rsocket.h>`.
//!
//! Loading the library does nothing: it is also in every `sh` and `ls` that a program under `ferroce run` starts.
//!
//! A panic never unwinds into C: leaving an `extern "C"` function that way ends the process, with a message.

mod abi;
mod border;
mod cm;
mod handle;
mod interpose;
mod mailbox;
mod process;
mod reader;
mod rsocket;
mod verbs;
