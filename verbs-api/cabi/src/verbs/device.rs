//! The list of devices.

use std::ffi::{c_char, c_int};

use super::names::NODE_UNKNOWN;
use crate::abi;
use crate::border::{NO_MEMORY, export, number, pointer};
use crate::process::{device, devices};

export! {
    "IBVERBS_1.1" fn ibv_get_device_list(num: *mut c_int) -> *mut *mut abi::Device {
        let found = devices();
        if let Some(num) = num.as_mut() {
            *num = found.len() as c_int;
        }
        let size = (found.len() + 1) * size_of::<*mut abi::Device>();
        // Programs may free the list themselves.
        let list = libc::malloc(size).cast::<*mut abi::Device>();
        if list.is_null() {
            return pointer(Err(NO_MEMORY));
        }
        for (at, device) in found.iter().enumerate() {
            list.add(at).write(device.pointer());
        }
        list.add(found.len()).write(std::ptr::null_mut());
        list
    }

    "IBVERBS_1.1" fn ibv_free_device_list(list: *mut *mut abi::Device) {
        libc::free(list.cast());
    }

    "IBVERBS_1.1" fn ibv_get_device_name(of: *mut abi::Device) -> *const c_char {
        device(of).map_or(NODE_UNKNOWN.as_ptr(), |device| device.name())
    }

    "IBVERBS_1.9" fn ibv_get_device_index(of: *mut abi::Device) -> c_int {
        number(device(of).map(|device| device.index as c_int))
    }

    // Big-endian, whatever the type says.
    "IBVERBS_1.1" fn ibv_get_device_guid(of: *mut abi::Device) -> u64 {
        device(of).map_or(0, |device| u64::from_ne_bytes(device.guid))
    }
}
