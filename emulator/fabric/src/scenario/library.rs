//! Scenarios that come with Ferroce.

macro_rules! scenarios {
    ($($name:literal,)*) => {
        /// All scenarios that come with Ferroce: name and text.
        pub fn library() -> &'static [(&'static str, &'static str)] {
            &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml"))),)*]
        }
    };
}

scenarios! {
    "incast",
    "livelock",
    "unfairness",
    "victim",
    "convergence",
    "bursts",
    "deadlock",
    "pause-storm",
    "micro-drop",
    "web-search",
    "fat-tree-all-reduce",
}

/// The text of a scenario of the [`library`].
pub fn named(name: &str) -> Option<&'static str> {
    library().iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
