//! The reference of scenario files, from the types that read them.

use core::fmt::Write;

use super::{
    AllReduce, BackgroundTable, Described, Event, Flow, HostTable, LinkTable, Measure, RuleTable, Scenario,
    SwitchTable, Topology,
};

/// All tables and keys as a page of Markdown.
pub fn reference() -> String {
    let mut page = String::new();
    table::<Scenario>(&mut page, "The file");
    table::<Topology>(&mut page, "`[topology]`");
    table::<SwitchTable>(&mut page, "`[switch]`");
    table::<HostTable>(&mut page, "`[host]`");
    table::<LinkTable>(&mut page, "`[link]`");
    table::<Flow>(&mut page, "`[[flow]]`");
    table::<AllReduce>(&mut page, "`[[all_reduce]]`");
    table::<BackgroundTable>(&mut page, "`[[background]]`");
    table::<RuleTable>(&mut page, "`[[rule]]`");
    table::<Event>(&mut page, "`[[event]]`");
    table::<Measure>(&mut page, "`[measure]`");
    page
}

fn table<D: Described>(page: &mut String, heading: &str) {
    let joined = |lines: &[&str]| lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let mut add = || -> core::fmt::Result {
        writeln!(page, "## {heading}\n\n{}\n\n| key | default | |\n| --- | --- | --- |", joined(D::ABOUT))?;
        for key in D::keys() {
            writeln!(page, "| `{}` | {} | {} |", key.name, default(&key.default), joined(key.about))?;
        }
        writeln!(page)
    };
    add().expect("a string takes everything");
}

/// A default as a reader of TOML would write it; structures are explained by their own table.
fn default(debug: &str) -> String {
    let words = [
        ("None", "–"),
        ("Some([0])", "0"),
        ("Some([1])", "1"),
        ("Fixed(64000)", "\"64KB\""),
        ("Infinite", "–"),
    ];
    if let Some((_, text)) = words.iter().find(|(name, _)| *name == debug) {
        return (*text).to_owned();
    }
    if debug.contains('{') {
        return "see below".to_owned();
    }
    let is_word = debug.chars().next().is_some_and(char::is_uppercase);
    let quantity =
        debug.chars().next().is_some_and(|c| c.is_ascii_digit()) && debug.ends_with(char::is_alphabetic);
    let quantity = quantity || debug.ends_with("b/s");
    if is_word {
        format!("\"{}\"", debug.to_lowercase())
    } else if quantity && debug != "0" {
        format!("\"{debug}\"")
    } else {
        debug.to_owned()
    }
}
