//! `<rdma/rsocket.h>`, which is not offered: every name is there, and says so.

use crate::verbs::missing::missing;

missing! {
    "RDMACM_1.0" minus_one {
        raccept,
        rbind,
        rclose,
        rconnect,
        rfcntl,
        rgetpeername,
        rgetsockname,
        rgetsockopt,
        riomap,
        riounmap,
        riowrite,
        rlisten,
        rpoll,
        rread,
        rreadv,
        rrecv,
        rrecvfrom,
        rrecvmsg,
        rselect,
        rsend,
        rsendmsg,
        rsendto,
        rsetsockopt,
        rshutdown,
        rsocket,
        rwrite,
        rwritev,
    }
}
