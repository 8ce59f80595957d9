//! `ferroce devices`: where a NIC can run, and what it would be like.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use ferroce::{IcrcCheck, Personality};
use ferroce_engine::AckRequests;
use ferroce_net::runtime_directory;
use ferroce_visualizer::machine::{NetworkInterface, Offload, Port, Stations, interfaces};
use serde::Serialize;

use super::Outcome;
use crate::failure::Failure;
use crate::text::{FAINT, STRONG, WARN};

/// List the addresses on which a Ferroce NIC can run, and what it would be like there
///
/// A NIC needs no device: any address of this machine will do. Addresses are numbered as soft-RoCE numbers the
/// GIDs of a device on the same interface. Their sockets are opened for a moment to see what is possible.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ferroce devices

  # For a script: addresses that are free
  ferroce devices --json | jq -r '.interfaces[].addresses[] | select(.problem == null) | .address'
")]
pub(crate) struct Args {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    interfaces: Vec<InterfaceReport>,
    offload: Offload,
    shared_memory: SharedMemory,
    stations: Stations,
    personalities: Vec<PersonalityReport>,
}

#[derive(Serialize)]
struct InterfaceReport {
    name: String,
    up: bool,
    loopback: bool,
    mtu: usize,
    /// In bytes; null when none fits.
    path_mtu: Option<usize>,
    addresses: Vec<AddressReport>,
}

#[derive(Serialize)]
struct AddressReport {
    gid_index: usize,
    address: IpAddr,
    /// Null when there is a problem.
    port: Option<Port>,
    /// Why no NIC can be opened there.
    problem: Option<String>,
}

/// Where NICs of this user on this machine meet, in order to exchange packets through memory.
#[derive(Serialize)]
struct SharedMemory {
    /// Null when there is a problem.
    directory: Option<PathBuf>,
    problem: Option<String>,
}

impl SharedMemory {
    fn probe() -> SharedMemory {
        match runtime_directory() {
            Ok(directory) => SharedMemory { directory: Some(directory), problem: None },
            Err(error) => SharedMemory { directory: None, problem: Some(error.to_string()) },
        }
    }
}

/// The choices of a personality that fit into a table.
#[derive(Serialize)]
struct PersonalityReport {
    name: &'static str,
    numbers: String,
    ack_requests: String,
    window: u32,
    recovery: String,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let found = interfaces().map_err(|error| {
        Failure::new(
            format_args!("cannot list the network interfaces: {error}"),
            "'ferroce doctor' looks at what this machine lacks",
        )
    })?;
    let report = Report {
        interfaces: found.iter().map(interface).collect(),
        offload: Offload::probe(),
        shared_memory: SharedMemory::probe(),
        stations: Stations::probe(),
        personalities: Personality::all().iter().map(personality).collect(),
    };
    let mut out = anstream::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&mut out, &report)?;
    }
    out.flush()?;
    Ok(Outcome::Done)
}

fn interface(interface: &NetworkInterface) -> InterfaceReport {
    let address = |index, address| {
        let (port, problem) = match Port::probe(address, IcrcCheck::Auto) {
            Ok(port) => (Some(port), None),
            Err(error) => (None, Some(error.to_string())),
        };
        AddressReport { gid_index: index, address, port, problem }
    };
    InterfaceReport {
        name: interface.name.clone(),
        up: interface.up,
        loopback: interface.loopback,
        mtu: interface.mtu,
        path_mtu: interface.path_mtu,
        addresses: interface.gids.iter().map(|gid| address(gid.index, gid.address)).collect(),
    }
}

fn personality(personality: &Personality) -> PersonalityReport {
    PersonalityReport {
        name: personality.name,
        numbers: format!("{:?}", personality.numbering).to_lowercase(),
        ack_requests: match personality.ack_requests {
            AckRequests::EveryMessage => "at every message".to_owned(),
            AckRequests::Sparse { packets } => format!("at need, or after {packets} packets"),
        },
        window: personality.window,
        recovery: format!("{:?}", personality.recovery),
    }
}

fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    for interface in &report.interfaces {
        print_interface(out, interface)?;
    }
    let has = |present| if present { "yes" } else { "no" };
    let (cuts, joins) = (has(report.offload.segmentation), has(report.offload.joining));
    writeln!(
        out,
        "\n{STRONG}Kernel{STRONG:#}  cuts trains (UDP_SEGMENT): {cuts}, joins packets (UDP_GRO): {joins}"
    )?;
    print_shared_memory(out, &report.shared_memory)?;
    print_stations(out, &report.stations)?;
    writeln!(
        out,
        "\n{STRONG}{:<16} {:<10} {:<6} {:<15} asks for ACKs{STRONG:#}",
        "Personality", "numbers", "window", "recovery"
    )?;
    for PersonalityReport { name, numbers, ack_requests, window, recovery } in &report.personalities {
        // What a policy is set to is for scripts.
        let recovery = recovery.split(' ').next().unwrap_or(recovery);
        writeln!(out, "{name:<16} {numbers:<10} {window:<6} {recovery:<15} {ack_requests}")?;
    }
    Ok(())
}

/// Which way packets go that need no network.
fn print_shared_memory(out: &mut impl Write, shared: &SharedMemory) -> io::Result<()> {
    write!(out, "{STRONG}Shared memory{STRONG:#}  ")?;
    match (&shared.directory, &shared.problem) {
        (Some(directory), _) => {
            let switch = "unless one has it turned off";
            writeln!(out, "between NICs of this user, which meet in {}, {switch}", directory.display())
        }
        (None, problem) => writeln!(out, "{WARN}no: {}{WARN:#}", problem.as_deref().unwrap_or("unusable")),
    }
}

/// How a NIC can be a machine of its own.
fn print_stations(out: &mut impl Write, stations: &Stations) -> io::Result<()> {
    let tap = match (&stations.tap_problem, stations.makes_taps) {
        (Some(problem), _) => format!("no: {problem}"),
        (None, true) => "yes".to_owned(),
        (None, false) => "at interfaces that root has made for this user (else CAP_NET_ADMIN)".to_owned(),
    };
    let raw = match &stations.raw_problem {
        Some(problem) => format!("no: {problem} (needs CAP_NET_RAW)"),
        None => "yes".to_owned(),
    };
    writeln!(out, "{STRONG}Machines of their own{STRONG:#}  --link tap: {tap}; --link raw: {raw}")
}

fn print_interface(out: &mut impl Write, interface: &InterfaceReport) -> io::Result<()> {
    let path_mtu = interface.path_mtu.map_or("none fits".to_owned(), |bytes| format!("up to {bytes}"));
    let down = if interface.up { "" } else { ", down" };
    let InterfaceReport { name, mtu, .. } = interface;
    writeln!(out, "{STRONG}{name}{STRONG:#}  MTU {mtu}, path MTU {path_mtu}{down}")?;
    for AddressReport { gid_index, address, port, problem } in &interface.addresses {
        write!(out, "  GID {gid_index}  {address:<28} ", address = address.to_string())?;
        match (port, problem) {
            (Some(port), _) => {
                let buffer = port.receive_buffer >> 10;
                let icrc = if port.full_icrc { "full" } else { "16 bits" };
                let reason = port.icrc_reason.as_deref().map_or(String::new(), |why| format!(" ({why})"));
                writeln!(out, "ICRC check {icrc}, buffer {buffer} KiB{FAINT}{reason}{FAINT:#}")?;
            }
            (None, problem) => writeln!(out, "{WARN}{}{WARN:#}", problem.as_deref().unwrap_or("unusable"))?,
        }
    }
    if interface.loopback {
        writeln!(out, "         {FAINT}and all other addresses of 127.0.0.0/8{FAINT:#}")?;
    }
    Ok(())
}
