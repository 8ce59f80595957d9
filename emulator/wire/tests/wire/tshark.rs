//! An independent program reads the same values from the captures, field by field.

use std::fs;
use std::io::{ErrorKind, Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

use ferroce_wire::frame::Frame;
use ferroce_wire::{Aeth, AtomicEth, Bth, Opcode, Packet, Reth};

use crate::captures::captures;

#[test]
fn agrees_field_by_field() {
    compare("transport", &COLUMNS);
}

/// Compares what tshark and we read from every packet of the captures. `name` keeps tests that run at the same
/// time apart.
pub(crate) fn compare(name: &str, columns: &[Column]) {
    let (file, frames) = one_big_capture(name);
    let Some(table) = tshark(&file, columns) else { return };
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), frames.len());

    for (number, (row, bytes)) in (1..).zip(rows.iter().zip(&frames)) {
        let packet = Frame::parse(bytes).unwrap().datagram.packet().unwrap();
        // Opcodes younger than the dissector of Wireshark 4.0, which shows no more than their BTH.
        let young = [Opcode::RC_FLUSH, Opcode::RC_ATOMIC_WRITE].contains(&packet.headers.bth.opcode);
        for (column, text) in columns.iter().zip(row.split('\t')) {
            if young && text.is_empty() && !column.name.starts_with("infiniband.bth") {
                continue;
            }
            let theirs = (!text.is_empty()).then(|| column.read(text));
            assert_eq!((column.ours)(&packet), theirs, "{} in packet {number}: {packet}", column.name);
        }
    }
}

/// One field as tshark names and prints it, and where we have it.
pub(crate) struct Column {
    name: &'static str,
    radix: u32,
    ours: fn(&Packet<'_>) -> Option<u64>,
}

impl Column {
    fn read(&self, text: &str) -> u64 {
        u64::from_str_radix(text.trim_start_matches("0x"), self.radix).unwrap()
    }
}

pub(crate) const fn dec(name: &'static str, ours: fn(&Packet<'_>) -> Option<u64>) -> Column {
    Column { name, radix: 10, ours }
}

pub(crate) const fn hex(name: &'static str, ours: fn(&Packet<'_>) -> Option<u64>) -> Column {
    Column { name, radix: 16, ours }
}

const COLUMNS: [Column; 24] = [
    dec("infiniband.bth.opcode", |p| bth(p, |bth| bth.opcode.as_u8())),
    dec("infiniband.bth.se", |p| bth(p, |bth| bth.solicited)),
    dec("infiniband.bth.m", |p| bth(p, |bth| bth.migrated)),
    dec("infiniband.bth.padcnt", |p| bth(p, |bth| bth.pad)),
    dec("infiniband.bth.tver", |p| bth(p, |bth| bth.version)),
    dec("infiniband.bth.p_key", |p| bth(p, |bth| bth.pkey)),
    hex("infiniband.bth.destqp", |p| bth(p, |bth| bth.dest_qp.value())),
    dec("infiniband.bth.a", |p| bth(p, |bth| bth.ack_request)),
    dec("infiniband.bth.reserved7", |p| bth(p, |bth| bth.resv7)),
    dec("infiniband.bth.psn", |p| bth(p, |bth| bth.psn.value())),
    hex("infiniband.reth.va", |p| reth(p, |reth| reth.va).or(atomic(p, |atomic| atomic.va))),
    hex("infiniband.reth.r_key", |p| reth(p, |reth| reth.rkey).or(atomic(p, |atomic| atomic.rkey))),
    dec("infiniband.reth.dmalen", |p| reth(p, |reth| reth.len)),
    dec("infiniband.aeth.syndrome", |p| aeth(p, |aeth| aeth.syndrome.as_u8())),
    dec("infiniband.aeth.msn", |p| aeth(p, |aeth| aeth.msn)),
    dec("infiniband.atomiceth.swapdt", |p| atomic(p, |atomic| atomic.swap_or_add)),
    dec("infiniband.atomiceth.cmpdt", |p| atomic(p, |atomic| atomic.compare)),
    dec("infiniband.atomicacketh.origremdt", |p| Some(p.headers.atomic_ack?.original)),
    hex("infiniband.immdt", |p| Some(u32::from_be_bytes(p.headers.imm?.0).into())),
    hex("infiniband.ieth", |p| Some(p.headers.ieth?.rkey.into())),
    hex("infiniband.deth.q_key", |p| Some(p.headers.deth?.qkey.into())),
    hex("infiniband.deth.srcqp", |p| Some(p.headers.deth?.src_qp.value().into())),
    // tshark reads the least significant byte, which comes first, as the most significant one.
    hex("infiniband.invariant.crc", |p| Some(p.icrc.swap_bytes().into())),
    dec("udp.length", |p| Some(8 + p.wire_len() as u64)),
];

fn bth<T: Into<u64>>(packet: &Packet<'_>, field: fn(Bth) -> T) -> Option<u64> {
    Some(field(packet.headers.bth).into())
}

fn reth<T: Into<u64>>(packet: &Packet<'_>, field: fn(Reth) -> T) -> Option<u64> {
    packet.headers.reth.map(|reth| field(reth).into())
}

fn aeth<T: Into<u64>>(packet: &Packet<'_>, field: fn(Aeth) -> T) -> Option<u64> {
    packet.headers.aeth.map(|aeth| field(aeth).into())
}

fn atomic<T: Into<u64>>(packet: &Packet<'_>, field: fn(AtomicEth) -> T) -> Option<u64> {
    packet.headers.atomic.map(|atomic| field(atomic).into())
}

/// All captures in one file, because tshark takes longer to start than to read them all.
fn one_big_capture(name: &str) -> (PathBuf, Vec<Vec<u8>>) {
    let mut bytes = Vec::new();
    let mut frames = Vec::new();
    for capture in captures() {
        let file = fs::read(&capture.path).unwrap();
        // A file is a header, which is the same in all of them, and records.
        let (header, records) = file.split_at(24);
        if bytes.is_empty() {
            bytes.extend_from_slice(header);
        }
        assert_eq!(bytes[..24], *header, "{}", capture.path.display());
        bytes.extend_from_slice(records);
        frames.extend(capture.frames);
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("all-captures-{name}.pcap"));
    fs::write(&path, bytes).unwrap();
    (path, frames)
}

/// tshark's table of `columns`, a line per packet; `None` if there is no tshark and there need not be one.
fn tshark(file: &Path, columns: &[Column]) -> Option<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-T", "fields", "-E", "occurrence=f"]);
    // Dissectors that guess at payloads give up on short ones, and with them goes the ICRC behind.
    for guesser in
        ["rpcordma", "infiniband.eoib", "infiniband_sdp", "nvme-rdma", "smb_direct", "smc", "lnet", "iser"]
    {
        command.args(["--disable-protocol", guesser]);
    }
    for column in columns {
        command.args(["-e", column.name]);
    }
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            // The test harness hides what `eprintln!` prints.
            let notice = "\nSKIPPED: comparison with tshark; install the Debian package tshark\n";
            stderr().write_all(notice.as_bytes()).unwrap();
            None
        }
        Err(error) => panic!("tshark (Debian package tshark): {error}"),
    }
}
