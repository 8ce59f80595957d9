//! `ferroce top`: NICs of other processes are found, watched and forgotten.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ferroce_net::{Control, FaultRates, Look as NicLook, QpLook};
use ferroce_visualizer::top::{Row, Top, render};
use ferroce_visualizer::tui::{Glyphs, Look};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// A directory in which only this test's NICs are found.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("ferroce-top-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&path, mode).unwrap();
        Place(path)
    }

    fn ferroce(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferroce"));
        command.args(args).env("FERROCE_RUNTIME_DIR", &self.0).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn list(&self) -> Vec<String> {
        let output = self.ferroce(&["top", "--plain"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap().lines().skip(1).map(str::to_owned).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn nics_of_another_process_are_listed_while_they_run() {
    let place = Place::new("list");
    assert_eq!(place.list(), Vec::<String>::new());
    let mut demo = place.ferroce(&["demo", "--plain", "--seconds", "600", "--messages", "3"]);
    let demo = Running(demo.stdout(Stdio::null()).spawn().unwrap());
    let lines = loop {
        let lines = place.list();
        if lines.len() >= 2 {
            break lines;
        }
    };
    let process = demo.0.id().to_string();
    assert!(lines.iter().all(|line| line.split_whitespace().nth(1) == Some(&process)), "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("127.")), "{lines:?}");
    drop(demo);
    // It was killed, so its sockets are still there; nobody answers.
    assert_eq!(place.list(), Vec::<String>::new());
}

#[test]
fn faults_and_recordings_of_another_process_are_begun_and_ended() {
    let place = Place::new("control");
    let mut demo = place.ferroce(&["demo", "--plain", "--seconds", "600", "--messages", "3"]);
    let _demo = Running(demo.stdout(Stdio::null()).spawn().unwrap());
    while place.list().len() < 2 {}
    let entries = || std::fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().path());
    let is_nic = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("nic-");
    let socket = entries().find(is_nic).unwrap();
    let ask = |control: Control| NicLook::control(&socket, &control).unwrap();
    let has = |look: &NicLook, layer: &str| look.link.split(' ').any(|name| name == layer);

    let [file, capture] = ["it.frec", "it.pcap"].map(|name| place.0.join(name));
    let look = ask(Control::Record(file.clone()));
    assert!(look.answer == Some(Ok(())) && has(&look, "record"), "{look:?}");
    let loss = FaultRates { drop: 0.5, ..FaultRates::NONE };
    let look = ask(Control::Faults(loss));
    assert!(look.answer == Some(Ok(())) && has(&look, "faults"), "{look:?}");
    while NicLook::at(&socket).unwrap().counters["link_tx_faults"] == 0 {}
    let look = ask(Control::Faults(FaultRates::NONE));
    assert!(look.answer == Some(Ok(())) && !has(&look, "faults"), "{look:?}");
    // A recording takes the place of the other.
    let look = ask(Control::Record(capture.clone()));
    assert!(look.answer == Some(Ok(())) && has(&look, "record"), "{look:?}");
    let sent = |look: &NicLook| look.counters["link_tx_packets"];
    while sent(&NicLook::at(&socket).unwrap()) < sent(&look) + 10 {}
    let look = ask(Control::StopRecording);
    assert!(look.answer == Some(Ok(())) && !has(&look, "record"), "{look:?}");
    assert_eq!(look.counters["link_unrecorded"], 0);
    // Both can be replayed; the recording knows what the NIC did, also when its end is missing.
    let replay = |file: &Path| {
        let output = place.ferroce(&["replay", "--plain", file.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = replay(&capture);
    assert!(text.contains(" sends ") && !text.contains(" posts send request "), "{text}");
    let text = replay(&file);
    for words in
        [" is in RTS when the recording begins", " posts send request ", " completes request ", "127."]
    {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let bytes = std::fs::read(&file).unwrap();
    let killed = place.0.join("killed.frec");
    std::fs::write(&killed, &bytes[..bytes.len() / 2]).unwrap();
    let text = replay(&killed);
    assert!(text.contains("ends early") && text.contains(" posts send request "), "{text}");
    // What was there before is not written over.
    let why = ask(Control::Record(file)).answer.unwrap().unwrap_err();
    assert!(why.contains("exists"), "{why}");
    let why = ask(Control::Record(place.0.join("none/it.pcap"))).answer.unwrap().unwrap_err();
    assert!(why.contains("cannot create"), "{why}");
}

#[test]
fn nonsense_to_a_nic_is_answered_and_harms_nothing() {
    let place = Place::new("nonsense");
    let mut demo = place.ferroce(&["demo", "--plain", "--seconds", "600", "--messages", "3"]);
    let _demo = Running(demo.stdout(Stdio::null()).spawn().unwrap());
    while place.list().len() < 2 {}
    let entries = || std::fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().path());
    let is_nic = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("nic-");
    let socket = entries().find(is_nic).unwrap();
    for bytes in [&b"explode\n"[..], b"faults 1 2 3 4\n", b"record \0\n", &[0xFF; 100], &[b'x'; 100_000]] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(bytes).ok();
        stream.shutdown(Shutdown::Write).ok();
        let mut answer = String::new();
        // Who says too much may find the connection ended before the answer.
        if stream.read_to_string(&mut answer).is_ok() {
            assert!(answer.contains("\nrefused "), "{answer}");
        }
    }
    assert_eq!(place.list().len(), 2);
}

#[test]
fn a_directory_that_others_may_enter_is_not_used() {
    let place = Place::new("open");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&place.0, mode).unwrap();
    let output = place.ferroce(&["top", "--plain"]).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("others may enter it"));
}

fn nic(now: u64, sent: u64) -> NicLook {
    let qp = QpLook {
        qpn: 0x17,
        state: "RTS".to_owned(),
        peer: 0x22,
        sends: (3, 128),
        receives: (0, 64),
        psns: [1, 4, 9],
    };
    NicLook {
        name: "ferroce0".to_owned(),
        pid: 4711,
        now,
        addresses: vec!["127.0.0.1".parse().unwrap()],
        link: "udp".to_owned(),
        counters: [("sent_pkts".to_owned(), sent)].into(),
        answer: None,
        qp_count: 2,
        qps: vec![qp.clone(), QpLook { state: "ERR".to_owned(), ..qp }],
    }
}

#[test]
fn rates_come_from_two_looks_and_the_screen_shows_them() {
    let first = Row::new(nic(1_000_000_000, 500), None);
    let row = Row::new(nic(1_500_000_000, 1_500), Some(&first));
    assert_eq!(row.rates["sent_pkts"], 2_000);
    let top = Top { rows: [(PathBuf::from("nic-4711-0"), row)].into(), ..Top::default() };
    let look = Look { glyphs: Glyphs::UNICODE, colours: true };
    for (width, height) in [(80, 24), (120, 40), (160, 50), (40, 8), (1, 1)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| render(frame.area(), frame.buffer_mut(), &look, &top)).unwrap();
        let screen = terminal.backend().to_string();
        if width >= 80 {
            let whole = [
                "ferroce0",
                "4711",
                "2000",
                "QPs",
                "3/128",
                "wants 9",
                "ERR",
                "sent_pkts",
                "q quit",
                "r record",
            ];
            for word in whole {
                assert!(screen.contains(word), "{word} at {width}x{height}:\n{screen}");
            }
        }
    }
}

#[test]
fn looks_survive_the_way_and_nonsense_is_no_look() {
    let look = nic(7, 9);
    assert_eq!(NicLook::parse(&look.to_string()), Some(look));
    for text in
        ["", "ferroce-look 2\n", "ferroce-look 1\nqp 1 RTS x", "ferroce-look 1\npid -1", "ferroce-look 1\nqp"]
    {
        assert_eq!(NicLook::parse(text), None, "{text:?}");
    }
}
