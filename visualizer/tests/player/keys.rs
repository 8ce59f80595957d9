//! Whatever is pressed whenever on whatever terminal: nothing panics, nothing is drawn outside.

use std::fs;
use std::time::Duration;

use ferroce_visualizer::film::{Film, Message, Op, Story, load};
use ferroce_visualizer::player::{App, KEYS, screen};
use ferroce_visualizer::tui::{Glyphs, Look};
use proptest::prelude::*;
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;

#[derive(Clone, Copy, Debug)]
enum Input {
    Key(KeyCode),
    Wait(u64),
    Size(u16, u16),
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let known: Vec<KeyCode> = KEYS.iter().flat_map(|key| key.codes).copied().collect();
    let input = prop_oneof![
        6 => proptest::sample::select(known).prop_map(Input::Key),
        1 => (1..=9_u8).prop_map(|digit| Input::Key(KeyCode::Char(char::from(b'0' + digit)))),
        1 => any::<char>().prop_map(|key| Input::Key(KeyCode::Char(key))),
        1 => Just(Input::Key(KeyCode::Enter)),
        2 => (0..400_u64).prop_map(Input::Wait),
        2 => (1..200_u16, 1..70_u16).prop_map(|(width, height)| Input::Size(width, height)),
    ];
    proptest::collection::vec(input, 1..80)
}

fn film(pick: u8, seed: u64) -> Film {
    let capture = |name: &str| {
        let path = format!("{}/../tests/data/captures/{name}", env!("CARGO_MANIFEST_DIR"));
        load(name, &fs::read(path).unwrap()[..]).unwrap()
    };
    match pick {
        0 => Film::default(),
        1 => capture("loss_read_bw.pcap"),
        2 => capture("cm_rping.pcap"),
        _ => {
            let ops = [Op::Send, Op::Write, Op::Read, Op::FetchAdd];
            let message = |n: u64| Message {
                at_ns: n * 2_000,
                from: (n % 2) as u8,
                op: ops[(n + seed) as usize % 4],
                len: (n * 731 % 4_000) as u32,
                bad_key: n == 18,
                ..Message::default()
            };
            let messages = (0..20).map(message).collect();
            Story {
                seed,
                loss: 100_000,
                reorder: 50_000,
                duplicate: 50_000,
                corrupt: 50_000,
                messages,
                ..Story::default()
            }
            .play()
            .unwrap()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_nothing_is_drawn_outside(
        pick in 0..6_u8,
        seed in any::<u64>(),
        unicode in any::<bool>(),
        inputs in inputs(),
    ) {
        let glyphs = if unicode { Glyphs::UNICODE } else { Glyphs::ASCII };
        let mut app = App::new(film(pick, seed), Look { glyphs, colours: unicode });
        let mut size = (80, 24);
        for input in inputs {
            match input {
                Input::Key(code) => app.press(&KeyEvent::new(code, KeyModifiers::NONE)),
                Input::Wait(millis) => app.tick(Duration::from_millis(millis)),
                Input::Size(width, height) => size = (width, height),
            }
            // The screen is a part of a larger buffer, the rest of which must stay as it is.
            let area = Rect::new(3, 2, size.0, size.1);
            let whole = Rect::new(0, 0, size.0 + 6, size.1 + 4);
            let mut buf = Buffer::empty(whole);
            screen::render(area, &mut buf, &app.view());
            for y in 0..whole.height {
                for x in 0..whole.width {
                    let outside = !area.contains((x, y).into());
                    prop_assert!(!outside || buf[(x, y)] == Cell::EMPTY, "drawn at {x}, {y} outside of {area}");
                }
            }
        }
    }
}
