//! The ping-pong as users run it: two programs, and what the originals of rdma-core would say to either.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long a program may take to do something.
const PATIENCE: Duration = Duration::from_secs(60);

/// TCP port and loopback addresses for one test, which no other test of this machine uses at the same time.
struct Place {
    port: u16,
    server: Ipv4Addr,
    client: Ipv4Addr,
}

impl Place {
    fn new() -> Place {
        static COUNTER: AtomicU16 = AtomicU16::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed) as u8;
        // A free port, given back at once; nobody else is likely to be given it within the next moment.
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let [_, high, low, _] = (std::process::id() << 8).to_be_bytes();
        let address = |last| Ipv4Addr::new(127, 2 + high % 250, low, last);
        Place {
            port: probe.local_addr().unwrap().port(),
            server: address(2 * number + 1),
            client: address(2 * number + 2),
        }
    }

    fn command(&self, address: Option<Ipv4Addr>, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferroce"));
        command.arg("pingpong").args(flags).args(["-p", &self.port.to_string()]);
        command.args(address.map(|address| format!("--addr={address}")));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts the side that waits, and waits until it does.
    fn serve(&self, address: Option<Ipv4Addr>, flags: &[&str]) -> Child {
        let mut child = self.command(address, flags).spawn().unwrap();
        let (start, port) = (Instant::now(), format!(":{:04X}", self.port));
        loop {
            let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
            let listens = |line: &str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.get(1).is_some_and(|local| local.ends_with(&port)) && words.get(3) == Some(&"0A")
            };
            if tables.iter().flatten().flat_map(|table| table.lines()).any(listens) {
                return child;
            }
            if child.try_wait().unwrap().is_some() || start.elapsed() > PATIENCE {
                panic!("it does not listen: {}", text(&child.wait_with_output().unwrap()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs both sides with the same flags and gives what they printed.
    fn play(&self, flags: &[&str]) -> [Output; 2] {
        let server = self.serve(Some(self.server), flags);
        let name = self.server.to_string();
        let client = [flags, &[&name]].concat();
        let client = self.command(Some(self.client), &client).output().unwrap();
        [server.wait_with_output().unwrap(), client]
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn assert_ended_well(outputs: &[Output; 2]) {
    let [server, client] = outputs;
    assert!(server.status.success() && client.status.success(), "{}\n{}", text(server), text(client));
}

#[test]
fn both_sides_print_what_the_originals_print() {
    let place = Place::new();
    let outputs = place.play(&["-n", "20", "-s", "1000"]);
    assert_ended_well(&outputs);
    let lines = outputs.map(|output| text(&output).lines().map(str::to_owned).collect::<Vec<_>>());
    for (own, other) in [(0, 1), (1, 0)] {
        let [own, other] = [own, other].map(|side: usize| &lines[side]);
        assert_eq!(own.len(), 4, "{own:?}");
        let address =
            own[0].strip_prefix("  local address:  LID 0x0000, QPN 0x").expect("the original's words");
        assert_eq!(
            address.len(),
            "000011, PSN 0xabcdef, GID ".len() + address.split("GID ").nth(1).unwrap().len()
        );
        assert_eq!(other[1], own[0].replace("  local address:  ", "  remote address: "));
        assert!(own[2].starts_with("40000 bytes in ") && own[2].ends_with(" Mbit/sec"), "{own:?}");
        assert!(own[3].starts_with("20 iters in ") && own[3].ends_with(" usec/iter"), "{own:?}");
    }
    assert!(lines[0][0].ends_with(&format!("GID ::ffff:{}", place.server)), "{lines:?}");
}

#[test]
fn a_game_is_recorded_and_replayed() {
    let file = std::env::temp_dir().join(format!("ferroce-game-{}.frec", std::process::id()));
    let place = Place::new();
    let server =
        place.serve(Some(place.server), &["-n", "5", "-s", "3000", "--record", file.to_str().unwrap()]);
    let flags = ["-n", "5", "-s", "3000", &place.server.to_string()];
    let client = place.command(Some(place.client), &flags).output().unwrap();
    assert_ended_well(&[server.wait_with_output().unwrap(), client]);
    let replay = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferroce"));
        let output = command.args(["replay", "--plain"]).args(args).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    };
    let told = replay(&[file.to_str().unwrap()]);
    for words in [
        "registers ",
        "queue pair goes from RTR to RTS",
        "posts send request",
        "SEND_FIRST",
        "has done message 5",
        "completes request",
        &format!("{} SEND_LAST", place.client),
        "Recorded at ferroce0's end",
    ] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    assert!(!told.contains("lost on its way"), "{told}");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn every_size_and_mtu_arrives_intact() {
    for (size, mtu) in [("0", "256"), ("1", "4096"), ("4097", "512"), ("100000", "1024")] {
        let outputs = Place::new().play(&["-n", "10", "-s", size, "-m", mtu, "-e", "-c", "--verify"]);
        assert_ended_well(&outputs);
        for output in outputs {
            assert!(text(&output).contains("Every byte of 10 messages is right."), "{}", text(&output));
        }
    }
}

#[test]
fn the_unreliable_services_play_too() {
    for flags in [["--qp", "uc", "-s", "9000"], ["--qp", "ud", "-s", "1000"]] {
        let more = ["-n", "50", "-e", "-c", "--verify", "--personality", "connectx"];
        let outputs = Place::new().play(&[&flags[..], &more].concat());
        assert_ended_well(&outputs);
        for output in outputs {
            assert!(text(&output).contains("Every byte of 50 messages is right."), "{}", text(&output));
        }
    }
}

#[test]
fn lost_packets_change_nothing() {
    let flags = ["-n", "60", "-s", "9000", "-e", "--verify", "--drop", "5%", "--seed", "3"];
    assert_ended_well(&Place::new().play(&flags));
}

#[test]
fn on_one_machine_both_sides_find_addresses() {
    let place = Place::new();
    let flags = ["-n", "10", "-e", "localhost"];
    let server = place.serve(None, &flags[..3]);
    let client = place.command(None, &flags).output().unwrap();
    assert_ended_well(&[server.wait_with_output().unwrap(), client]);
}

#[test]
fn different_sizes_are_named() {
    let place = Place::new();
    let server = place.serve(Some(place.server), &["-s", "100", "-n", "5", "-e"]);
    let mut client =
        place.command(Some(place.client), &["-s", "50", "-n", "5", "-e", "127.0.0.1"]).spawn().unwrap();
    let server = server.wait_with_output().unwrap();
    // It would find out too, after a long silence.
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(server.status.code(), Some(2));
    assert!(text(&server).contains("50 bytes, ours 100"), "{}", text(&server));
}

#[test]
fn failures_say_what_to_do() {
    let place = Place::new();
    let failed = |flags: &[&str]| {
        let output = place.command(None, flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        text(&output)
    };
    assert!(failed(&["127.0.0.1"]).contains("without SERVER"), "nobody waits there");
    assert!(failed(&["--addr", "192.0.2.77", "127.0.0.1"]).contains("not an address of this machine"));
    assert!(failed(&["-d", "nonesuch0", "127.0.0.1"]).contains("no device nonesuch0"));
    assert!(
        failed(&["--qp", "ud", "-s", "4097", "127.0.0.1"]).contains("does not fit into a packet of 4096")
    );
    assert!(failed(&["--personality", "mellanox", "127.0.0.1"]).contains("connectx"));
    assert!(failed(&["--qp", "uc", "--drop", "1%", "127.0.0.1"]).contains("only --qp rc"));
    assert!(failed(&["-m", "1500", "127.0.0.1"]).contains("256, 512, 1024, 2048 and 4096"));
}

/// What an original with `-g` says: LID, QPN, PSN and GID in hexadecimal, and the zero of a C string.
fn message(qpn: u32, gid: &str) -> Vec<u8> {
    format!("0000:{qpn:06x}:00abcd:{gid}\0").into_bytes()
}

#[test]
fn the_waiting_side_says_what_the_original_expects() {
    let place = Place::new();
    let server = place.serve(Some(place.server), &["-n", "0"]);
    let mut original = TcpStream::connect(("127.0.0.1", place.port)).unwrap();
    original.write_all(&message(0x11, "00000000000000000000ffff7f000001")).unwrap();
    let mut answer = [0; 52];
    original.read_exact(&mut answer).unwrap();
    original.write_all(b"done\0").unwrap();
    drop(original);
    let fields: Vec<&str> = std::str::from_utf8(&answer[..51]).unwrap().split(':').collect();
    let gid = format!("00000000000000000000ffff{:08x}", place.server.to_bits());
    assert_eq!((fields.len(), fields[0], fields[3], answer[51]), (4, "0000", gid.as_str(), 0));
    assert!(fields[1].len() == 6 && fields[2].len() == 6, "{fields:?}");
    let output = server.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output)
            .contains("remote address: LID 0x0000, QPN 0x000011, PSN 0x00abcd, GID ::ffff:127.0.0.1")
    );
}

#[test]
fn the_connecting_side_says_what_the_original_expects() {
    let place = Place::new();
    let listener = TcpListener::bind(("127.0.0.1", place.port)).unwrap();
    let client = place.command(Some(place.client), &["-n", "0", "127.0.0.1"]).spawn().unwrap();
    let (mut original, _) = listener.accept().unwrap();
    let mut said = [0; 52];
    // The original reads with one call, so all must come in one piece.
    assert_eq!(original.read(&mut said).unwrap(), 52);
    original.write_all(&message(0x12, "00000000000000000000ffff7f000001")).unwrap();
    let mut done = [0; 5];
    original.read_exact(&mut done).unwrap();
    assert_eq!(&done, b"done\0");
    drop(original);
    assert!(client.wait_with_output().unwrap().status.success());
}

#[test]
fn a_peer_without_gid_is_told_to_give_one() {
    let place = Place::new();
    let server = place.serve(Some(place.server), &[]);
    let mut original = TcpStream::connect(("127.0.0.1", place.port)).unwrap();
    original.write_all(&message(0x11, &"0".repeat(32))).unwrap();
    let output = server.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("start it with -g"), "{}", text(&output));
}
