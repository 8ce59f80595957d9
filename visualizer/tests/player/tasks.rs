//! The most usual tasks, as their keys are pressed.

use std::process::{Command, Stdio};
use std::time::Duration;

use ferroce_engine::{Access, Qpn, TraceEvent};
use ferroce_recording::{Record, What};
use ferroce_visualizer::player::App;

use crate::{UNICODE, draw, lost_packet, press, refused};

/// The screen after these keys must show these words.
fn task(app: &mut App, keys: &str, words: &[&str]) {
    press(app, keys);
    let screen = draw(app, 80, 24);
    for word in words {
        assert!(screen.contains(word), "after {keys:?} there is no {word:?}:\n{screen}");
    }
}

#[test]
fn what_a_loss_leads_to() {
    let mut app = App::new(lost_packet(), UNICODE);
    task(&mut app, "d", &["SEND_MIDDLE 011", "lost"]);
    task(&mut app, "a", &["NAK sequence 011"]);
    task(&mut app, "r1", &["went back last because the responder misses packets", "again"]);
    task(&mut app, "2", &["A sends SEND_MIDDLE 011 again"]);
    task(&mut app, "c", &["completes request 1"]);
    task(&mut app, "D", &["lost"]);
    task(&mut app, "GRR", &["SEND_MIDDLE 012"]);
}

#[test]
fn back_and_forth() {
    let mut app = App::new(lost_packet(), UNICODE);
    press(&mut app, "lllll");
    let here = draw(&app, 80, 24);
    press(&mut app, "lllhhh");
    assert_eq!(draw(&app, 80, 24), here);
    task(&mut app, "g", &["e0/"]);
    task(&mut app, "G", &["t="]);
    let end = draw(&app, 80, 24);
    task(&mut app, ":7\n", &["e7/"]);
    task(&mut app, ":50%\n", &["e22/", "PAUSED"]);
    task(&mut app, ":100%\n", &[]);
    assert_eq!(draw(&app, 80, 24), end);
    task(&mut app, ":far\n", &["'far' is no number"]);
}

#[test]
fn time_runs_and_stops() {
    let mut app = App::new(lost_packet(), UNICODE);
    task(&mut app, " ", &["10/s"]);
    (0..10).for_each(|_| app.tick(Duration::from_millis(100)));
    task(&mut app, " ", &["e10/", "PAUSED"]);
    app.tick(Duration::from_secs(1));
    task(&mut app, "", &["e10/"]);
    task(&mut app, "++++ ", &["1000/s"]);
    (0..10).for_each(|_| app.tick(Duration::from_millis(250)));
    task(&mut app, "", &["PAUSED"]);
}

#[test]
fn words_are_found() {
    let mut app = App::new(lost_packet(), UNICODE);
    task(&mut app, "/goes back\n2", &["goes back to 011"]);
    task(&mut app, "n", &["There is none after this"]);
    task(&mut app, "/ack 013\nN", &[]);
    task(&mut app, "/nowhere\n", &["There is none after this"]);
}

#[test]
fn a_packet_is_opened_field_by_field() {
    let mut app = App::new(lost_packet(), UNICODE);
    task(&mut app, "p3", &["BTH OpCode", "RC_SEND_FIRST", "000"]);
    task(&mut app, "]]]]]]]", &[">BTH"]);
}

#[test]
fn the_past_is_changed_and_compared() {
    let mut app = App::new(lost_packet(), UNICODE);
    task(&mut app, "dv9", &["CHANGED", "as it was", ">changed", "*     0.353 A SEND_MIDDLE 011"]);
    task(&mut app, "b", &[">as it was"]);
    task(&mut app, "r", &["SEND_MIDDLE 011", "e30/"]);
    task(&mut app, "bgr", &["There is none after this"]);
    let mut app = App::new(refused(), UNICODE);
    task(&mut app, "b", &["There is only one"]);
    task(&mut app, "px", &["Another past"]);
    task(&mut app, "d", &[]);
}

#[test]
fn why_a_queue_pair_died() {
    let mut app = App::new(refused(), UNICODE);
    task(&mut app, "8", &["No queue pair is known yet"]);
    task(&mut app, "lll", &["alive"]);
    task(&mut app, "G", &["went from RTS to ERR", "RemAccessErr", "R_Key"]);
    task(&mut app, "o", &["refused the peer"]);
    task(&mut app, "5", &["B DENIED 0x", "opens nothing, 1 denied"]);
}

#[test]
fn memory_that_nobody_has_touched_is_there_and_windows_come_and_go() {
    let mut film = lost_packet();
    let device = |at, event| Record { at, host: 1, what: What::Device(event) };
    let end = film.frames.last().unwrap().at;
    let (key, region, qp) = (0x201, 0x100, Qpn::new(0x10));
    let bound = TraceEvent::Bound { key, region, qp, addr: 0x1_0000, len: 64, access: Access::REMOTE_READ };
    let events = [bound, TraceEvent::Invalidated { key }, TraceEvent::Deregistered { key: region }];
    film.frames.extend(events.map(|event| device(end, event)));
    let mut app = App::new(film, UNICODE);
    task(&mut app, "5", &["No memory is known"]);
    task(&mut app, "d", &["A key 0x00000100 wra 0x10000..0x10fa0, untouched", "B key 0x00000100 wra"]);
    task(&mut app, "Ghh", &["window in 0x00000100 -r- 0x10000..0x10040, untouched"]);
    task(&mut app, "l", &["B key 0x00000201 opens nothing now"]);
    task(
        &mut app,
        "l2",
        &["B gives up key 0x00000100", "B shuts 0x00000201", "B binds window 0x00000201: 64 bytes"],
    );
}

fn ferroce(args: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferroce"));
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    command.arg("replay").args(args).current_dir(root).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_supplied_recording_is_what_its_scenario_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/recordings/lost-packet.frec");
    if std::env::var_os("FERROCE_BLESS").is_some() {
        lost_packet().write(std::fs::File::create(path).unwrap()).unwrap();
    }
    let film =
        ferroce_visualizer::film::load("lost-packet.frec", std::fs::File::open(path).unwrap()).unwrap();
    assert!(film == lost_packet(), "make it again with FERROCE_BLESS=1");
}

#[test]
fn a_pipe_gets_the_events_as_text() {
    let output = ferroce(&["tests/data/recordings/lost-packet.frec"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.is_ascii() && !text.contains('\x1b'));
    let lines = |word: &str| text.lines().filter(|line| line.contains(word)).count();
    assert_eq!(lines("leaves: lost on its way"), 1, "{text}");
    assert_eq!(lines("A sends SEND_MIDDLE 011 again"), 1, "{text}");
    assert!(text.lines().last().unwrap().starts_with("lost-packet.frec: "));
    let limited = ferroce(&["--limit", "3", "--at", "2", "tests/data/recordings/lost-packet.frec"]);
    assert!(String::from_utf8(limited.stdout).unwrap().starts_with("e3 "));
}

#[test]
fn what_cannot_be_replayed_is_an_error_with_a_next_step() {
    for file in ["README.md", "nothing.frec", "Cargo.toml"] {
        let output = ferroce(&[file]);
        assert_eq!(output.status.code(), Some(2), "{file}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("error: ") && error.contains("next: "), "{error}");
    }
}

#[test]
fn a_scenario_is_played_and_saved() {
    let folder = std::env::temp_dir().join(format!("ferroce-replay-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [scenario, saved] = ["it.json", "it.frec"].map(|name| folder.join(name));
    std::fs::write(
        &scenario,
        r#"{"messages": [{"len": 4000}], "faults": [{"host": 0, "nth": 2, "kind": "drop"}]}"#,
    )
    .unwrap();
    let output = ferroce(&["--plain", "--save", saved.to_str().unwrap(), scenario.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let again = ferroce(&["--plain", saved.to_str().unwrap()]);
    let events =
        |out: &[u8]| String::from_utf8(out.to_vec()).unwrap().lines().filter(|l| l.starts_with('e')).count();
    assert!(events(&output.stdout) > 20);
    assert_eq!(events(&output.stdout), events(&again.stdout));
    std::fs::remove_dir_all(&folder).unwrap();
}
