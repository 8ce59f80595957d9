//! `ferroce run`: an unmodified RDMA program on Ferroce.

mod files;
pub(crate) mod library;
mod sockets;
mod wishes;

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use ferroce::{Interface, Personality};

use self::files::Files;
use self::wishes::Rates;
use super::Outcome;
use crate::failure::Failure;

/// Run an unmodified RDMA program: no hardware, no kernel module, no root, nothing recompiled
///
/// The program finds a device ferroce0 with RoCEv2 GIDs where it would find those of NICs. It gets the libraries
/// libibverbs.so.1 and librdmacm.so.1 from Ferroce instead of the system, and so do all programs that it starts.
///
/// The exit code is the program's own, or 2 if it could not be started.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ferroce run -- ibv_devinfo -v

  # A server, and in another terminal a client on an address of its own
  ferroce run --address 127.0.0.1 -- ib_write_bw
  ferroce run --address 127.0.0.2 -- ib_write_bw 127.0.0.1

  # Two of a hundred packets lost, and everything that is left recorded
  ferroce run --drop 2% --seed 7 --record lossy.pcap -- ibv_rc_pingpong -g 0
  ferroce explain lossy.pcap

  # Packets, queues and states, to be walked through in both directions
  ferroce run --record run.frec -- ibv_rc_pingpong -g 0
  ferroce replay run.frec

A program that is linked statically or runs with more rights than you have does not load the libraries.")]
pub(crate) struct Args {
    /// Address of the device, or several with commas, or a network interface; once more for another device
    /// [default: the first network interface's, or 127.0.0.1 if there is none]
    #[arg(long, value_name = "ADDRESS[,...]|INTERFACE", value_parser = wishes::addresses)]
    address: Vec<Addresses>,

    /// Behave like another NIC; 'ferroce devices' lists them
    #[arg(long, value_name = "NAME", value_parser = wishes::personality)]
    personality: Option<Personality>,

    /// Lose this share of the packets sent, such as 2%
    #[arg(long, value_name = "PERCENT", value_parser = wishes::percent, conflicts_with = "faults")]
    drop: Option<f64>,

    /// What happens to packets sent, such as drop=2%,duplicate=1%,corrupt=1%,reorder=5%
    #[arg(long, value_name = "NAME=PERCENT[,...]", value_parser = wishes::rates)]
    faults: Option<Rates>,

    /// Decides which packets suffer
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Record into this file, each further process into one with its number in the name: a name in .frec gets packets
    /// and what the device does, for 'ferroce replay', any other a capture of the packets; one in .pcapng tells which
    /// of them went through shared memory
    #[arg(long, value_name = "FILE.frec|FILE.pcap|FILE.pcapng")]
    record: Option<PathBuf>,

    /// Reach programs on this machine by UDP too, where tcpdump sees the packets, and not through shared memory
    #[arg(long)]
    no_shared_memory: bool,

    /// Know ATOMIC WRITE and FLUSH, which end the connection to a peer that does not
    #[arg(long)]
    placement: bool,

    /// Model number that the device claims, for programs that do more on models that they know
    #[arg(long, value_name = "NUMBER")]
    part_id: Option<u32>,

    /// Have the program's ordinary stream sockets be sockets over RDMA, by librdmacm's preload library; its peer must
    /// run so too. Without shared memory, which takes descriptors: some such programs know only small ones
    #[arg(long)]
    sockets: bool,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// Where the library finds out whether it may use shared memory.
const SHARED_MEMORY: &str = "FERROCE_SHARED_MEMORY";

/// The addresses of one device.
#[derive(Clone, Debug)]
pub(crate) struct Addresses(Vec<IpAddr>);

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let library = library::find()?;
    let devices = match args.address.is_empty() {
        true => vec![usual()],
        false => args.address.clone(),
    };
    let files = Files::make(&library, &devices)?;
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]);
    let sockets = if args.sockets { Some(sockets::find()?) } else { None };
    files.use_in(&mut command, sockets.as_deref());
    let text: Vec<String> = devices.iter().map(wishes::text).collect();
    command.env("FERROCE_ADDRESS", text.join(" ")).env("FERROCE_SEED", args.seed.to_string());
    let rates = args.faults.clone().or(args.drop.map(Rates::drop));
    let settings = [
        ("FERROCE_PERSONALITY", args.personality.as_ref().map(|chosen| chosen.name.to_owned())),
        ("FERROCE_FAULTS", rates.map(|rates| rates.to_string())),
        ("FERROCE_PLACEMENT", args.placement.then(|| "on".to_owned())),
        ("FERROCE_PART_ID", args.part_id.map(|id| id.to_string())),
    ];
    for (name, value) in settings {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let told = env::var_os(SHARED_MEMORY).is_some();
    if args.no_shared_memory || (args.sockets && !told) {
        command.env(SHARED_MEMORY, "off");
    }
    match &args.record {
        Some(path) => command.env("FERROCE_RECORD", fresh(path)?),
        None => command.env_remove("FERROCE_RECORD"),
    };
    // The program takes this one's place: signals, exit status and terminal are its own.
    Err(not_started(&args.command[0], &command.exec()))
}

fn usual() -> Addresses {
    let first = Interface::first_external().ok().flatten();
    let addresses = first.and_then(|interface| Interface::addresses(&interface.name).ok());
    Addresses(addresses.unwrap_or_else(|| vec![IpAddr::from([127, 0, 0, 1])]))
}

/// The capture file by a name that holds in every directory, and without what an earlier run has left.
fn fresh(path: &PathBuf) -> Result<PathBuf, Failure> {
    let failed = |error: io::Error| {
        Failure::new(
            format_args!("cannot record into {}: {error}", path.display()),
            "name a file in a directory where you may write",
        )
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    std::path::absolute(path).map_err(failed)
}

fn not_started(program: &OsString, error: &io::Error) -> Failure {
    let next = match error.kind() {
        io::ErrorKind::NotFound => "check its name, or install it",
        io::ErrorKind::PermissionDenied => "check that it may be executed",
        _ => "check that it is a program for this machine",
    };
    Failure::new(format_args!("cannot run {}: {error}", program.display()), next)
}
