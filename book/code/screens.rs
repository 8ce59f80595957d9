//! Screens of `ferroce replay`: a packet is lost, and what the sender does about it.

use std::time::Duration;

use ferroce_visualizer::film::{Fault, FaultKind, Film, Message, Story};
use ferroce_visualizer::picture::{Shot, cast, svg};
use ferroce_visualizer::player::{Action, App, Step};
use ferroce_visualizer::tui::{Glyphs, Look};

const TITLE: &str = "ferroce replay: which packet was lost, and what did the sender do about it?";
const WIDTH: u16 = 80;
const HEIGHT: u16 = 24;

/// The run of `tests/data/recordings/lost-packet.frec`.
fn film() -> Film {
    let faults = vec![Fault { host: 0, nth: 2, kind: FaultKind::Drop }];
    let messages = vec![Message { len: 4_000, ..Message::default() }];
    let film = Story { messages, faults, ..Story::default() }.play().expect("it is possible");
    Film { title: "lost-packet.frec".to_owned(), ..film }
}

/// The screens after each key of a user who wants to know.
fn shots() -> Vec<Shot> {
    let mut app = App::new(film(), Look { glyphs: Glyphs::UNICODE, colours: true });
    let mut shots = vec![Shot::of(&app, WIDTH, HEIGHT, Duration::from_millis(1_500))];
    let steps = [Step::Packet, Step::Loss, Step::Nak, Step::Retransmission, Step::Completion];
    for step in steps {
        app.act(Action::Go(step, false));
        shots.push(Shot::of(&app, WIDTH, HEIGHT, Duration::from_millis(2_500)));
    }
    shots
}

/// The screens as a picture that moves.
pub(crate) fn picture() -> String {
    svg(TITLE, &shots())
}

/// The same for `asciinema play`.
pub(crate) fn recording() -> String {
    cast(TITLE, &shots())
}

/// The packets at the end, as the first page of the repository shows them.
pub(crate) fn ladder() -> String {
    let mut app = App::new(film(), Look { glyphs: Glyphs::UNICODE, colours: false });
    app.act(Action::End);
    let shot = Shot::of(&app, WIDTH, HEIGHT, Duration::ZERO);
    let lines = shot.text();
    let packets = lines.lines().skip(1).take_while(|line| !line.contains("1 Window"));
    packets.map(|line| line.trim_end().to_owned() + "\n").collect()
}
