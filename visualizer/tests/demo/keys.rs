//! Whatever is pressed whenever on whatever terminal: nothing panics, and the demo stays right.

use std::time::Duration;

use ferroce_visualizer::tui::{App, Glyphs, KEYS, Look, action, screen};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::{FAULTS, stage};

#[derive(Clone, Copy, Debug)]
enum Input {
    Key(KeyCode),
    Wait(u64),
    Resize(u16, u16),
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let known: Vec<KeyCode> = KEYS.iter().flat_map(|key| key.codes).copied().collect();
    let input = prop_oneof![
        4 => proptest::sample::select(known).prop_map(Input::Key),
        1 => any::<char>().prop_map(|key| Input::Key(KeyCode::Char(key))),
        4 => (0..400_u64).prop_map(Input::Wait),
        1 => (1..200_u16, 1..70_u16).prop_map(|(width, height)| Input::Resize(width, height)),
    ];
    proptest::collection::vec(input, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(seed in any::<u64>(), unicode in any::<bool>(), inputs in inputs()) {
        let glyphs = if unicode { Glyphs::UNICODE } else { Glyphs::ASCII };
        let mut app = App::new(stage(seed, FAULTS), Look { glyphs, colours: unicode });
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        for input in inputs {
            match input {
                Input::Key(code) => {
                    if let Some(action) = action(&KeyEvent::new(code, KeyModifiers::NONE)) {
                        app.act(action);
                    }
                }
                Input::Wait(millis) => app.tick(Duration::from_millis(millis)),
                Input::Resize(width, height) => terminal.backend_mut().resize(width, height),
            }
            terminal.draw(|frame| screen::render(frame.area(), frame.buffer_mut(), app.model())).unwrap();
            prop_assert_eq!(&app.model().failure, &None);
        }
    }
}
