//! What the keys of a host open.

use std::collections::BTreeMap;

use ferroce_engine::{Access, Qpn, TraceEvent};

/// Keys of a host that are kept.
const KEPT: usize = 1024;

/// Keys by their upper 24 bits, which stay the same while the lower 8 change.
pub type Keys = BTreeMap<u32, KeyScene>;

/// What a key opens, or has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyScene {
    /// The key.
    pub key: u32,
    /// The address of its first byte, as it is named.
    pub addr: u64,
    /// Its length in bytes.
    pub len: u64,
    /// What it may be used for.
    pub access: Access,
    /// For a window: the region that it opens, and the queue pair that has bound it.
    pub window: Option<(u32, Qpn)>,
    /// It opens something.
    pub open: bool,
}

/// Takes in what a device tells of its keys.
pub(super) fn play(keys: &mut Keys, event: &TraceEvent) {
    let (key, scene) = match *event {
        TraceEvent::Registered { key, addr, len, access } => {
            (key, Some(KeyScene { key, addr, len, access, window: None, open: true }))
        }
        TraceEvent::Bound { key, region, qp, addr, len, access } => {
            (key, Some(KeyScene { key, addr, len, access, window: Some((region, qp)), open: true }))
        }
        TraceEvent::Invalidated { key } | TraceEvent::Deregistered { key } => (key, None),
        _ => return,
    };
    match scene {
        Some(scene) if keys.len() < KEPT || keys.contains_key(&(key >> 8)) => {
            keys.insert(key >> 8, scene);
        }
        Some(_) => {}
        // It is still shown: who uses a key that is gone will want to know.
        None => {
            if let Some(scene) = keys.get_mut(&(key >> 8)) {
                scene.open = false;
            }
        }
    }
}
