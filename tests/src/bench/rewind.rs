//! Going back in a recorded run.

use std::sync::Arc;
use std::time::Instant;

use ferroce_visualizer::film::{Film, Message, Op, Reel, Story};

use super::Report;

/// A run of more than 100 000 events.
fn film() -> Film {
    let message = |n: u64| Message {
        at_ns: n * 12_000,
        from: (n % 3 == 2) as u8,
        op: [Op::Send, Op::Write, Op::Read][n as usize % 3],
        len: (n as u32 * 977) % 5_000,
        ..Message::default()
    };
    let story = Story { loss: 30_000, messages: (0..10_000).map(message).collect(), ..Story::default() };
    story.play().expect("it is possible")
}

/// The slowest of many jumps back, in milliseconds.
fn slowest(reel: &mut Reel) -> f64 {
    let frames = reel.film().frames.len();
    let mut slowest: f64 = 0.0;
    for step in 1..200 {
        reel.go(frames);
        let start = Instant::now();
        reel.go(frames - frames * step / 200);
        slowest = slowest.max(start.elapsed().as_secs_f64() * 1e3);
    }
    slowest
}

/// How long it takes to get anywhere, beside playing everything from the beginning.
pub fn run(report: &mut Report) {
    let film = Arc::new(film());
    assert!(film.frames.len() > 100_000, "{} events", film.frames.len());
    let mut reel = Reel::new(Arc::clone(&film));
    reel.go(usize::MAX);
    let whole = || {
        let start = Instant::now();
        Reel::new(Arc::clone(&film)).go(usize::MAX);
        start.elapsed().as_secs_f64() * 1e3
    };
    report.figure(
        "back over 100 000 events, the slowest jump",
        "ms",
        "playing all of them",
        || slowest(&mut reel),
        whole,
    );
}
