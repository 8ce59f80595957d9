//! The figures in the repository are those that the code draws.

use std::fs;

#[test]
fn figures_are_up_to_date() {
    let folder = ferroce_book::folder().join("src/figures");
    for (name, svg) in ferroce_book::figures() {
        let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(committed == svg, "{name} is out of date: cargo run -p ferroce-book --bin figures");
    }
}

#[test]
fn the_ladder_shows_what_happens_after_a_loss() {
    let figures = ferroce_book::figures();
    let (_, ladder) = figures.iter().find(|(name, _)| *name == "a-lost-packet.svg").unwrap();
    let place = |words: &str| ladder.find(words).unwrap_or_else(|| panic!("no '{words}' in the ladder"));
    let story = ["gap: 12 came, 11 is next", "goes back to PSN 11", "completion: Success"];
    assert!(story.map(place).is_sorted());
}

#[test]
fn the_first_screen_of_the_readme_is_up_to_date() {
    let text = fs::read_to_string(ferroce_book::readme()).unwrap();
    let right = ferroce_book::with_first_screen(&text) == text;
    assert!(right, "README.md is out of date: cargo run -p ferroce-book --bin figures");
}

#[test]
fn the_moving_picture_shows_the_loss_and_what_the_sender_does() {
    let figures = ferroce_book::figures();
    let named = |wanted: &str| &figures.iter().find(|(name, _)| *name == wanted).unwrap().1;
    for words in ["SEND_MIDDLE 011", "lost", "NAK sequence 011", "went back last", "<animate"] {
        assert!(named("lost-packet.svg").contains(words), "no {words:?}");
    }
    assert!(named("lost-packet.cast").starts_with("{\"height\":24,"));
}
