//! The keys, in one table: what they do, what the bottom line says and what the help says.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::demo::stage::Fate;

/// What a user can want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End.
    Quit,
    /// Stop time, or let it go on.
    Pause,
    /// Stop time, and go to the next thing that happens.
    Step,
    /// Let time pass faster.
    Faster,
    /// Let time pass slower.
    Slower,
    /// Let the next packet with data suffer.
    Wish(Fate),
    /// Let packets suffer by chance, or not.
    Chance,
    /// Show or hide the help.
    Help,
    /// Hide the help, or end.
    Back,
}

/// A key, and what it does: an `A`.
#[derive(Clone, Copy, Debug)]
pub struct Key<A = Action> {
    /// The codes that it sends.
    pub codes: &'static [KeyCode],
    /// What is written on it.
    pub name: &'static str,
    /// What it does.
    pub action: A,
    /// In a word, for the bottom line; empty if it is not there.
    pub short: &'static str,
    /// In a sentence, for the help.
    pub long: &'static str,
}

/// All keys. Ctrl-C does what `q` does.
pub const KEYS: &[Key] = &[
    key(&[KeyCode::Char('q')], "q", Action::Quit, "quit", "Quit and say what was verified."),
    key(&[KeyCode::Char(' ')], "space", Action::Pause, "pause", "Stop time; let it go on."),
    key(
        &[KeyCode::Char('s'), KeyCode::Right],
        "s",
        Action::Step,
        "step",
        "Stop time and go to the next thing that happens.",
    ),
    key(
        &[KeyCode::Char('?'), KeyCode::F(1), KeyCode::Char('h')],
        "?",
        Action::Help,
        "help",
        "Show or hide this page.",
    ),
    key(
        &[KeyCode::Char('+'), KeyCode::Char('='), KeyCode::Up],
        "+",
        Action::Faster,
        "faster",
        "Let time pass twice as fast.",
    ),
    key(&[KeyCode::Char('-'), KeyCode::Down], "-", Action::Slower, "slower", "Let time pass half as fast."),
    key(&[KeyCode::Char('l')], "l", Action::Wish(Fate::Lost), "lose", "Lose the next packet with a request."),
    key(&[KeyCode::Char('d')], "d", Action::Wish(Fate::Doubled), "double", "Deliver the next one twice."),
    key(
        &[KeyCode::Char('o')],
        "o",
        Action::Wish(Fate::Late),
        "overtake",
        "Let others overtake the next one.",
    ),
    key(&[KeyCode::Char('b')], "b", Action::Wish(Fate::Damaged), "bit", "Flip a bit of the next one."),
    key(&[KeyCode::Char('f')], "f", Action::Chance, "faults", "Faults by chance: on or off."),
    key(&[KeyCode::Esc], "Esc", Action::Back, "", "Hide this page; quit."),
];

pub(crate) const fn key<A: Copy>(
    codes: &'static [KeyCode],
    name: &'static str,
    action: A,
    short: &'static str,
    long: &'static str,
) -> Key<A> {
    Key { codes, name, action, short, long }
}

/// What this key press asks for.
pub fn action(event: &KeyEvent) -> Option<Action> {
    look_up(KEYS, Action::Quit, event)
}

/// What this key press asks for according to a table. Ctrl-C means `quit` whatever the table.
pub(crate) fn look_up<A: Copy>(keys: &[Key<A>], quit: A, event: &KeyEvent) -> Option<A> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return (event.code == KeyCode::Char('c')).then_some(quit);
    }
    keys.iter().find(|key| key.codes.contains(&event.code)).map(|key| key.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_given_twice() {
        let codes: Vec<KeyCode> = KEYS.iter().flat_map(|key| key.codes).copied().collect();
        for (index, code) in codes.iter().enumerate() {
            assert!(!codes[..index].contains(code), "{code:?}");
        }
    }

    #[test]
    fn control_c_quits_and_other_control_keys_do_nothing() {
        let press = |code, modifiers| action(&KeyEvent::new(KeyCode::Char(code), modifiers));
        assert_eq!(press('c', KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(press('q', KeyModifiers::CONTROL), None);
        assert_eq!(press('q', KeyModifiers::NONE), Some(Action::Quit));
    }
}
