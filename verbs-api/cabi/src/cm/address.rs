//! `rdma_getaddrinfo`.

use std::ffi::{c_char, c_int, c_void};

use ferroce::cm::PortSpace;

use super::id::{RC, UD};
use crate::abi::{self, Plain};
use crate::border::{Errno, INVALID, NO_MEMORY, export, number};

/// `RAI_PASSIVE`, `RAI_NUMERICHOST` and `RAI_FAMILY`.
const PASSIVE: c_int = 1;
const NUMERICHOST: c_int = 1 << 1;
const FAMILY: c_int = 1 << 3;

/// What a program asks for besides names.
fn hints_for_libc(hints: &abi::CmAddrinfo) -> libc::addrinfo {
    // SAFETY: all zeros are a value of this structure of numbers and pointers.
    let mut wish: libc::addrinfo = unsafe { std::mem::zeroed() };
    wish.ai_family = if hints.ai_flags & FAMILY != 0 || hints.ai_family != 0 { hints.ai_family } else { 0 };
    wish.ai_socktype = match is_datagram(hints) {
        true => libc::SOCK_DGRAM,
        false => libc::SOCK_STREAM,
    };
    let translate = |rai: c_int, ai: c_int| if hints.ai_flags & rai != 0 { ai } else { 0 };
    wish.ai_flags = translate(PASSIVE, libc::AI_PASSIVE) | translate(NUMERICHOST, libc::AI_NUMERICHOST);
    wish
}

fn is_datagram(hints: &abi::CmAddrinfo) -> bool {
    let spaces = [PortSpace::Udp as c_int, PortSpace::IpoIb as c_int];
    spaces.contains(&hints.ai_port_space) || hints.ai_qp_type == UD as c_int
}

unsafe fn copy(from: *const c_void, len: u32) -> Result<*mut c_void, Errno> {
    let to = libc::malloc(len as usize);
    if to.is_null() {
        return Err(NO_MEMORY);
    }
    std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast(), len as usize);
    Ok(to)
}

/// An entry without addresses.
fn described(hints: &abi::CmAddrinfo, family: c_int) -> abi::CmAddrinfo {
    let mut c = abi::CmAddrinfo::zeroed();
    let datagram = is_datagram(hints);
    (c.ai_flags, c.ai_family) = (hints.ai_flags, family);
    c.ai_qp_type = match hints.ai_qp_type {
        0 if datagram => UD as c_int,
        0 => RC as c_int,
        asked => asked,
    };
    c.ai_port_space = match hints.ai_port_space {
        0 if datagram => PortSpace::Udp as c_int,
        0 => PortSpace::Tcp as c_int,
        asked => asked,
    };
    c
}

/// An entry with the addresses that are in the hints.
unsafe fn from_hints(hints: &abi::CmAddrinfo) -> Result<*mut abi::CmAddrinfo, Errno> {
    let known = if hints.ai_src_addr.is_null() { hints.ai_dst_addr } else { hints.ai_src_addr };
    let family = c_int::from((*known.cast::<libc::sockaddr>()).sa_family);
    let mut c = described(hints, family);
    if !hints.ai_src_addr.is_null() {
        (c.ai_src_addr, c.ai_src_len) = (copy(hints.ai_src_addr, hints.ai_src_len)?, hints.ai_src_len);
    }
    if !hints.ai_dst_addr.is_null() {
        (c.ai_dst_addr, c.ai_dst_len) = (copy(hints.ai_dst_addr, hints.ai_dst_len)?, hints.ai_dst_len);
    }
    hand_out(c)
}

unsafe fn hand_out(c: abi::CmAddrinfo) -> Result<*mut abi::CmAddrinfo, Errno> {
    let to = libc::malloc(size_of::<abi::CmAddrinfo>()).cast::<abi::CmAddrinfo>();
    if to.is_null() {
        return Err(NO_MEMORY);
    }
    to.write(c);
    Ok(to)
}

unsafe fn entry(found: &libc::addrinfo, hints: &abi::CmAddrinfo) -> Result<*mut abi::CmAddrinfo, Errno> {
    let mut c = described(hints, found.ai_family);
    let address = copy(found.ai_addr.cast(), found.ai_addrlen)?;
    if hints.ai_flags & PASSIVE != 0 {
        (c.ai_src_addr, c.ai_src_len) = (address, found.ai_addrlen);
    } else {
        (c.ai_dst_addr, c.ai_dst_len) = (address, found.ai_addrlen);
        if !hints.ai_src_addr.is_null() && hints.ai_src_len > 0 {
            (c.ai_src_addr, c.ai_src_len) = (copy(hints.ai_src_addr, hints.ai_src_len)?, hints.ai_src_len);
        }
    }
    hand_out(c)
}

unsafe fn resolve(
    node: *const c_char,
    service: *const c_char,
    hints: *const abi::CmAddrinfo,
) -> Result<*mut abi::CmAddrinfo, Errno> {
    let nothing = abi::CmAddrinfo::zeroed();
    let hints = hints.as_ref().unwrap_or(&nothing);
    let wish = hints_for_libc(hints);
    // Without names all that is known is in the hints.
    if node.is_null() && service.is_null() {
        if hints.ai_src_addr.is_null() && hints.ai_dst_addr.is_null() {
            return Err(INVALID);
        }
        return from_hints(hints);
    }
    let mut found = std::ptr::null_mut();
    match libc::getaddrinfo(node, service, &raw const wish, &raw mut found) {
        0 => {}
        libc::EAI_SYSTEM => return Err(Errno::last()),
        libc::EAI_MEMORY => return Err(NO_MEMORY),
        libc::EAI_AGAIN => return Err(Errno(libc::EAGAIN)),
        _ => return Err(Errno(libc::ENODEV)),
    }
    let made = entry(&*found, hints);
    libc::freeaddrinfo(found);
    made
}

unsafe fn free(mut list: *mut abi::CmAddrinfo) {
    while !list.is_null() {
        let next = (*list).ai_next;
        libc::free((*list).ai_src_addr);
        libc::free((*list).ai_dst_addr);
        libc::free(list.cast());
        list = next;
    }
}

export! {
    "RDMACM_1.0" fn rdma_getaddrinfo(
        node: *const c_char,
        service: *const c_char,
        hints: *const abi::CmAddrinfo,
        to: *mut *mut abi::CmAddrinfo,
    ) -> c_int {
        number(resolve(node, service, hints).map(|made| { *to = made; 0 }))
    }

    "RDMACM_1.0" fn rdma_freeaddrinfo(list: *mut abi::CmAddrinfo) {
        free(list);
    }
}
