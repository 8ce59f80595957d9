//! Films from files: recordings, captures and scenarios.

use std::io::{self, Read};

use ferroce_recording::Reader;

use super::story::StoryError;
use super::{Film, MAX_FRAMES, NetworkStory, Origin, ends};
use crate::explain;

/// Bytes of the longest scenario that is read.
const MAX_SCENARIO: u64 = 16 << 20;

/// Why a file cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is a recording, but not one that can be read.
    #[error(transparent)]
    Recording(ferroce_recording::OpenError),
    /// It is neither a recording nor a scenario, so it should be a capture.
    #[error("neither a recording, nor a scenario, nor a capture ({0})")]
    Capture(explain::OpenError),
    /// It is a scenario that is not well formed.
    #[error("the scenario cannot be read: {0}")]
    Scenario(serde_json::Error),
    /// It is a scenario that cannot be played.
    #[error(transparent)]
    Story(#[from] StoryError),
}

/// Reads a recording, a capture (pcap or pcapng), or a scenario, which is played: of two hosts in JSON, or of a
/// network in TOML. The first bytes tell which.
///
/// # Errors
/// When it is none of them.
pub fn load(title: &str, mut input: impl Read) -> Result<Film, LoadError> {
    let mut head = Vec::new();
    input.by_ref().take(4).read_to_end(&mut head)?;
    let whole = io::Cursor::new(head.clone()).chain(input);
    let film = match head.first() {
        Some(0x1F) => recording(whole)?,
        Some(b'{') => {
            let origin = scenario(whole.take(MAX_SCENARIO)).map_err(LoadError::Scenario)?;
            origin.play()?
        }
        _ if is_text(&head) => {
            let mut network = String::new();
            whole.take(MAX_SCENARIO).read_to_string(&mut network)?;
            Origin::Network(NetworkStory { network, ..NetworkStory::default() }).play()?
        }
        _ => Film::of_capture(whole).map_err(LoadError::Capture)?,
    };
    Ok(Film { title: title.to_owned(), ..film })
}

/// A scenario in JSON.
fn scenario(input: impl Read) -> serde_json::Result<Origin> {
    let value: serde_json::Value = serde_json::from_reader(input)?;
    // Said by hand: of what is of neither kind, serde would not tell which key is wrong.
    if value.get("network").is_some() {
        serde_json::from_value(value).map(Origin::Network)
    } else {
        serde_json::from_value(value).map(Origin::Pair)
    }
}

/// Whether a file begins like a text, which captures of either format do not.
fn is_text(head: &[u8]) -> bool {
    const PCAPNG: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];
    let text = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    !head.is_empty() && head != PCAPNG && head.iter().all(text)
}

fn recording(input: impl Read) -> Result<Film, LoadError> {
    let mut reader = Reader::open(input).map_err(LoadError::Recording)?;
    let header = reader.header().clone();
    let mut film = Film { hosts: header.hosts, switches: header.switches, ..Film::default() };
    film.origin = header.scenario.and_then(|scenario| serde_json::from_value(scenario).ok());
    loop {
        match reader.next_record() {
            Ok(Some(_)) if film.frames.len() == MAX_FRAMES => {
                film.remarks.push(format!("Only the first {MAX_FRAMES} frames are kept."));
                break;
            }
            Ok(Some(record)) => film.frames.push(record),
            Ok(None) => break,
            Err(damage) => {
                film.remarks.push(format!("{damage}. What came before is shown."));
                break;
            }
        }
    }
    if reader.unknown() > 0 {
        let unknown = reader.unknown();
        film.remarks.push(format!("{unknown} records are of kinds that this program does not know."));
    }
    // Several devices may have written at once.
    film.frames.sort_by_key(|frame| frame.at);
    if !header.simulated {
        ends::tell_apart(&mut film);
    }
    Ok(film)
}
