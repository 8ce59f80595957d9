//! The tables of GIDs and P_Keys, and the files in which other NICs have them.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use ferroce_net::Interface;

use super::context::context;
use super::query::{self, FIRMWARE};
use crate::abi::{self, Gid};
use crate::border::{Errno, INVALID, UNSUPPORTED, export, number, status};
use crate::process::Device;

/// `IBV_GID_TYPE_ROCE_V2`.
const TYPE_ROCE_V2: u32 = 2;

/// What `ibv_query_gid_type` calls RoCE v2, and every other kind.
const SYSFS_ROCE_V2: c_uint = 1;
const SYSFS_OTHER: c_uint = 0;

/// The P_Key of the default partition, which is the same in either byte order.
const DEFAULT_PKEY: u16 = 0xffff;

/// The GID that stands for an address.
pub(crate) fn gid(address: IpAddr) -> Gid {
    let v6 = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    Gid { raw: v6.octets() }
}

/// The address that a GID stands for.
pub(crate) fn address(gid: &Gid) -> IpAddr {
    Ipv6Addr::from(gid.raw).to_canonical()
}

fn entry(device: &Device, index: u32) -> Result<abi::GidEntry, Errno> {
    if index >= query::gid_table_len(device) as u32 {
        return Err(INVALID);
    }
    let address = *device.addresses.get(index as usize).ok_or(Errno(libc::ENODATA))?;
    let interface = Interface::of(address).map_or(0, |interface| interface.index);
    Ok(abi::GidEntry {
        gid: gid(address),
        gid_index: index,
        port_num: 1,
        gid_type: TYPE_ROCE_V2,
        ndev_ifindex: interface,
    })
}

/// Writes as much of an entry as the program knows of.
unsafe fn store(entry: &abi::GidEntry, to: *mut u8, size: usize) {
    let size = size.min(size_of::<abi::GidEntry>());
    std::ptr::copy_nonoverlapping((&raw const *entry).cast::<u8>(), to, size);
}

unsafe fn query_gid(of: *mut abi::Context, port: u32, index: u32) -> Result<abi::GidEntry, Errno> {
    if port != 1 {
        return Err(INVALID);
    }
    entry(context(of)?.device, index)
}

unsafe fn query_gid_table(
    of: *mut abi::Context,
    entries: *mut u8,
    most: usize,
    size: usize,
) -> Result<c_int, Errno> {
    let device = context(of)?.device;
    if entries.is_null() || device.addresses.len() > most {
        return Err(INVALID);
    }
    for index in 0..device.addresses.len() {
        store(&entry(device, index as u32)?, entries.add(index * size), size);
    }
    Ok(device.addresses.len() as c_int)
}

unsafe fn pkey_at(of: *mut abi::Context, port: u8, index: c_int) -> Result<(), Errno> {
    context(of)?;
    if port == 1 && index == 0 { Ok(()) } else { Err(INVALID) }
}

/// What the files of a device would say that programs ask for by `ibv_read_sysfs_file`.
fn attribute(file: &[u8]) -> Result<String, Errno> {
    match file {
        b"board_id" => Ok("FERROCE".to_owned()),
        b"fw_ver" => Ok(FIRMWARE.to_owned()),
        b"hca_type" => Ok("ferroce".to_owned()),
        b"node_type" => Ok("1: CA".to_owned()),
        _ => Err(Errno(libc::ENOENT)),
    }
}

/// Reads `file` in `directory`, or knows what is in it if it is one of a device that has no files.
unsafe fn read_file(
    directory: *const c_char,
    file: *const c_char,
    buffer: *mut c_char,
    size: usize,
) -> Result<c_int, Errno> {
    if directory.is_null() || file.is_null() || (buffer.is_null() && size > 0) {
        return Err(INVALID);
    }
    let path = |text: *const c_char| Path::new(std::ffi::OsStr::from_bytes(CStr::from_ptr(text).to_bytes()));
    let text = match fs::read(path(directory).join(path(file))) {
        Ok(text) => text,
        Err(_) => attribute(CStr::from_ptr(file).to_bytes())?.into_bytes(),
    };
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    let len = text.len().min(size);
    std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast::<u8>(), len);
    if len < size {
        buffer.add(len).write(0);
    }
    Ok(len as c_int)
}

export! {
    "IBVERBS_1.1" fn ibv_query_gid(of: *mut abi::Context, port: u8, index: c_int, to: *mut Gid) -> c_int {
        match query_gid(of, u32::from(port), index as u32) {
            Ok(entry) => { *to = entry.gid; 0 }
            // An empty place is no error here, as it is for `ibv_query_gid_ex`.
            Err(Errno(libc::ENODATA)) => { *to = Gid::default(); 0 }
            Err(errno) => number(Err(errno)),
        }
    }

    "IBVERBS_1.11" fn _ibv_query_gid_ex(
        of: *mut abi::Context,
        port: u32,
        index: u32,
        to: *mut u8,
        flags: u32,
        size: usize,
    ) -> c_int {
        if flags != 0 {
            return status(Err(UNSUPPORTED));
        }
        status(query_gid(of, port, index).map(|entry| store(&entry, to, size)))
    }

    "IBVERBS_1.11" fn _ibv_query_gid_table(
        of: *mut abi::Context,
        to: *mut u8,
        most: usize,
        flags: u32,
        size: usize,
    ) -> isize {
        let found = if flags != 0 { Err(UNSUPPORTED) } else { query_gid_table(of, to, most, size) };
        found.map_or_else(|errno| -(status(Err(errno)) as isize), |found| found as isize)
    }

    "IBVERBS_PRIVATE_34" fn ibv_query_gid_type(
        of: *mut abi::Context,
        port: u8,
        index: c_uint,
        to: *mut c_uint,
    ) -> c_int {
        match query_gid(of, u32::from(port), index) {
            Ok(_) => { *to = SYSFS_ROCE_V2; 0 }
            Err(Errno(libc::ENODATA)) => { *to = SYSFS_OTHER; 0 }
            Err(errno) => number(Err(errno)),
        }
    }

    "IBVERBS_1.1" fn ibv_query_pkey(of: *mut abi::Context, port: u8, index: c_int, to: *mut u16) -> c_int {
        number(pkey_at(of, port, index).map(|()| { *to = DEFAULT_PKEY; 0 }))
    }

    "IBVERBS_1.5" fn ibv_get_pkey_index(of: *mut abi::Context, port: u8, pkey: u16) -> c_int {
        let found = pkey_at(of, port, 0);
        number(if pkey == DEFAULT_PKEY { found.map(|()| 0) } else { Err(INVALID) })
    }

    "IBVERBS_1.0" fn ibv_get_sysfs_path() -> *const c_char {
        static PATH: OnceLock<std::ffi::CString> = OnceLock::new();
        let path = PATH.get_or_init(|| {
            std::ffi::CString::new(Device::sysfs().as_os_str().as_bytes()).unwrap_or_else(|_| c"/sys".into())
        });
        path.as_ptr()
    }

    "IBVERBS_1.0" fn ibv_read_sysfs_file(
        directory: *const c_char,
        file: *const c_char,
        buffer: *mut c_char,
        size: usize,
    ) -> c_int {
        number(read_file(directory, file, buffer, size))
    }

    "IBVERBS_PRIVATE_34" fn ibv_read_ibdev_sysfs_file(
        buffer: *mut c_char,
        size: usize,
        device: *mut libc::c_void,
        format: *const c_char,
    ) -> c_int {
        let _ = (buffer, size, device, format);
        number(Err(UNSUPPORTED))
    }
}
