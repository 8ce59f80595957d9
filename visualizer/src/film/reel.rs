//! Going to any frame of a film at once.

use std::sync::Arc;

use super::{Film, Scene};

/// Scenes that are kept on the way, at most.
pub const CHECKPOINTS: usize = 512;
/// Frames from one to the next, at least.
const STRIDE: usize = 64;

/// Hosts and ports of a scene of which so many are kept.
const SMALL: usize = 64;

/// A film, and the scene after so many of its frames.
#[derive(Clone, Debug)]
pub struct Reel {
    film: Arc<Film>,
    stride: usize,
    /// The scene after every `stride` frames, as far as the film was played.
    kept: Vec<Scene>,
    scene: Scene,
}

impl Reel {
    /// At the beginning.
    pub fn new(film: Arc<Film>) -> Reel {
        // The more there is in a scene, the fewer are kept.
        let parties = film.hosts.len() + film.switches.iter().map(|switch| switch.ports.len()).sum::<usize>();
        let kept = (CHECKPOINTS * SMALL / parties.max(1)).clamp(16, CHECKPOINTS);
        let stride = film.frames.len().div_ceil(kept).max(STRIDE);
        let scene = Scene::new(&film);
        Reel { film, stride, kept: vec![scene.clone()], scene }
    }

    /// The film.
    pub fn film(&self) -> &Arc<Film> {
        &self.film
    }

    /// What there is to see here.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// How many frames were played: from 0 to all of them.
    pub fn position(&self) -> usize {
        self.scene.position
    }

    /// Goes there, in whatever direction that is; to the end if the film is not so long.
    pub fn go(&mut self, position: usize) {
        let position = position.min(self.film.frames.len());
        let nearest = (position / self.stride).min(self.kept.len() - 1);
        if position < self.scene.position || self.scene.position < nearest * self.stride {
            self.scene.clone_from(&self.kept[nearest]);
        }
        while self.scene.position < position {
            self.scene.play(&self.film.frames[self.scene.position]);
            if self.scene.position == self.kept.len() * self.stride {
                self.kept.push(self.scene.clone());
            }
        }
    }
}
