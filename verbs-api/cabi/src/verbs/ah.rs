//! Address handles.

use std::ffi::c_int;
use std::sync::Arc;

use ferroce_engine::{AddressVector, GRH_LEN};

use super::context::context;
use super::cq::GRH;
use super::pd::pd;
use super::qp_attr::{from_c, to_c};
use crate::abi;
use crate::border::{Errno, INVALID, UNSUPPORTED, export, number, pointer, status};
use crate::handle::{self, make, pooled};
use crate::process::Engine;

/// Our part of an address handle.
pub(crate) struct Ah {
    engine: Arc<Engine>,
    ah: ferroce_engine::Ah,
}
pooled!(Ah, abi::Ah);

/// The engine's handle behind a pointer.
///
/// # Safety
///
/// As [`handle::object`].
pub(crate) unsafe fn ah(pointer: *const abi::Ah) -> Result<ferroce_engine::Ah, Errno> {
    Ok(handle::object::<Ah>(pointer)?.ah)
}

unsafe fn create(of: *mut abi::Pd, attr: *const abi::AhAttr) -> Result<*mut abi::Ah, Errno> {
    let (domain, attr) = (pd(of)?, attr.as_ref().ok_or(INVALID)?);
    if attr.port_num != 1 {
        return Err(INVALID);
    }
    let av = from_c::vector(attr)?;
    let ah = domain.engine.nic().with(|device, _| device.create_ah(domain.pd, av))?;
    let c = abi::Ah { context: (*of).context, pd: of, handle: ah.index() };
    Ok(make(c, Ah { engine: Arc::clone(&domain.engine), ah }))
}

unsafe fn destroy(pointer: *mut abi::Ah) -> Result<(), Errno> {
    let body = handle::object::<Ah>(pointer)?;
    body.engine.nic().with(|device, _| device.destroy_ah(body.ah))?;
    handle::take::<Ah>(pointer).map(drop)
}

/// The way back to where a datagram came from.
unsafe fn back(
    of: *mut abi::Context,
    port: u8,
    wc: *const abi::Wc,
    grh: *const [u8; GRH_LEN],
) -> Result<abi::AhAttr, Errno> {
    let (device, wc) = (context(of)?.device, wc.as_ref().ok_or(INVALID)?);
    if port != 1 || wc.wc_flags & GRH == 0 {
        return Err(INVALID);
    }
    let back = AddressVector::back_to_sender(grh.as_ref().ok_or(INVALID)?, &device.addresses)?;
    Ok(to_c::path(&back))
}

export! {
    "IBVERBS_1.1" fn ibv_create_ah(of: *mut abi::Pd, attr: *mut abi::AhAttr) -> *mut abi::Ah {
        pointer(create(of, attr))
    }

    "IBVERBS_1.1" fn ibv_destroy_ah(pointer: *mut abi::Ah) -> c_int {
        status(destroy(pointer))
    }

    "IBVERBS_1.1" fn ibv_init_ah_from_wc(
        of: *mut abi::Context,
        port: u8,
        wc: *mut abi::Wc,
        grh: *mut [u8; GRH_LEN],
        to: *mut abi::AhAttr,
    ) -> c_int {
        number(back(of, port, wc, grh).map(|attr| { to.write(attr); 0 }))
    }

    "IBVERBS_1.1" fn ibv_create_ah_from_wc(
        of: *mut abi::Pd,
        wc: *mut abi::Wc,
        grh: *mut [u8; GRH_LEN],
        port: u8,
    ) -> *mut abi::Ah {
        let created = pd(of).and_then(|_| {
            let attr = back((*of).context, port, wc, grh)?;
            create(of, &attr)
        });
        pointer(created)
    }

    // Ethernet addresses are the kernel's business: this NIC hands over IP packets.
    "IBVERBS_1.1" fn ibv_resolve_eth_l2_from_gid(
        of: *mut abi::Context,
        attr: *mut abi::AhAttr,
        mac: *mut u8,
        vlan: *mut u16,
    ) -> c_int {
        let _ = (of, attr, mac, vlan);
        status(Err(UNSUPPORTED))
    }
}
