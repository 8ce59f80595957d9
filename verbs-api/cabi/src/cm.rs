//! `<rdma/rdma_cma.h>` and `<rdma/rsocket.h>`: every name is there, and answers that it is not supported.

use crate::verbs::missing::missing;

missing! {
    "RDMACM_1.0" minus_one {
        raccept,
        rbind,
        rclose,
        rconnect,
        rdma_accept,
        rdma_ack_cm_event,
        rdma_bind_addr,
        rdma_connect,
        rdma_create_ep,
        rdma_create_id,
        rdma_create_qp,
        rdma_create_qp_ex,
        rdma_create_srq,
        rdma_create_srq_ex,
        rdma_destroy_id,
        rdma_disconnect,
        rdma_event_str,
        rdma_get_cm_event,
        rdma_get_request,
        rdma_getaddrinfo,
        rdma_join_multicast,
        rdma_leave_multicast,
        rdma_listen,
        rdma_migrate_id,
        rdma_notify,
        rdma_reject,
        rdma_resolve_addr,
        rdma_resolve_route,
        rdma_set_option,
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
    "RDMACM_1.0" pointer {
        rdma_create_event_channel,
        rdma_get_devices,
    }
    "RDMACM_1.0" nothing {
        rdma_destroy_ep,
        rdma_destroy_event_channel,
        rdma_destroy_qp,
        rdma_destroy_srq,
        rdma_free_devices,
        rdma_freeaddrinfo,
        rdma_get_dst_port,
        rdma_get_src_port,
    }
    "RDMACM_1.1" minus_one {
        rdma_join_multicast_ex,
    }
    "RDMACM_1.2" minus_one {
        rdma_establish,
        rdma_init_qp_attr,
    }
    "RDMACM_1.3" minus_one {
        rdma_get_remote_ece,
        rdma_reject_ece,
        rdma_set_local_ece,
    }
}
