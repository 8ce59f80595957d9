//! What drivers of other devices need from libibverbs in order to be loaded.
//!
//! Programs that were built with such a driver have it as a library of theirs (perftest has libmlx5 and libefa), and
//! would not start if these symbols were missing. The drivers announce themselves, and are told of no device.

use std::ffi::{c_int, c_void};

use super::missing::missing;
use crate::border::export;

export! {
    "IBVERBS_PRIVATE_34" fn verbs_register_driver_34(ops: *const c_void) {
        let _ = ops;
    }

    // Has further arguments in C, which nobody looks at.
    "IBVERBS_PRIVATE_34" fn __verbs_log(context: *mut c_void, level: c_int) {
        let _ = (context, level);
    }
}

missing! {
    "IBVERBS_PRIVATE_34" error {
        __ioctl_final_num_attrs,
        execute_ioctl,
        ibv_cmd_advise_mr,
        ibv_cmd_alloc_dm,
        ibv_cmd_alloc_mw,
        ibv_cmd_alloc_pd,
        ibv_cmd_attach_mcast,
        ibv_cmd_close_xrcd,
        ibv_cmd_create_ah,
        ibv_cmd_create_counters,
        ibv_cmd_create_cq,
        ibv_cmd_create_cq_ex,
        ibv_cmd_create_flow,
        ibv_cmd_create_flow_action_esp,
        ibv_cmd_create_qp,
        ibv_cmd_create_qp_ex,
        ibv_cmd_create_qp_ex2,
        ibv_cmd_create_rwq_ind_table,
        ibv_cmd_create_srq,
        ibv_cmd_create_srq_ex,
        ibv_cmd_create_wq,
        ibv_cmd_dealloc_mw,
        ibv_cmd_dealloc_pd,
        ibv_cmd_dereg_mr,
        ibv_cmd_destroy_ah,
        ibv_cmd_destroy_counters,
        ibv_cmd_destroy_cq,
        ibv_cmd_destroy_flow,
        ibv_cmd_destroy_flow_action,
        ibv_cmd_destroy_qp,
        ibv_cmd_destroy_rwq_ind_table,
        ibv_cmd_destroy_srq,
        ibv_cmd_destroy_wq,
        ibv_cmd_detach_mcast,
        ibv_cmd_free_dm,
        ibv_cmd_get_context,
        ibv_cmd_modify_cq,
        ibv_cmd_modify_flow_action_esp,
        ibv_cmd_modify_qp,
        ibv_cmd_modify_qp_ex,
        ibv_cmd_modify_srq,
        ibv_cmd_modify_wq,
        ibv_cmd_open_qp,
        ibv_cmd_open_xrcd,
        ibv_cmd_poll_cq,
        ibv_cmd_post_recv,
        ibv_cmd_post_send,
        ibv_cmd_post_srq_recv,
        ibv_cmd_query_context,
        ibv_cmd_query_device_any,
        ibv_cmd_query_mr,
        ibv_cmd_query_port,
        ibv_cmd_query_qp,
        ibv_cmd_query_srq,
        ibv_cmd_read_counters,
        ibv_cmd_reg_dm_mr,
        ibv_cmd_reg_dmabuf_mr,
        ibv_cmd_reg_mr,
        ibv_cmd_req_notify_cq,
        ibv_cmd_rereg_mr,
        ibv_cmd_resize_cq,
        verbs_allow_disassociate_destroy,
    }
    "IBVERBS_PRIVATE_34" pointer {
        _verbs_init_and_alloc_context,
        verbs_open_device,
    }
    "IBVERBS_PRIVATE_34" nothing {
        verbs_init_cq,
        verbs_set_ops,
        verbs_uninit_context,
    }
}
