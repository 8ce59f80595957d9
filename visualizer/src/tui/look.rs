//! Characters and colours. Nothing is told by a colour alone.

use ratatui::style::{Color, Modifier, Style};

/// The characters that things are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glyphs {
    /// Line of a packet with a request.
    pub data: char,
    /// Line of a packet that answers.
    pub answer: char,
    /// Heads, to the right and to the left.
    pub heads: [char; 2],
    /// Where a packet ends that goes no further.
    pub end: char,
    /// Before the name of a packet that is sent again.
    pub again: char,
    /// Before the name of the second copy of a doubled packet.
    pub copy: char,
    /// A NIC in the ladder.
    pub post: char,
    /// A rule between panels.
    pub rule: char,
    /// Request that waits in a queue.
    pub posted: char,
    /// Some of its packets were sent.
    pub sending: char,
    /// All were sent.
    pub in_flight: char,
    /// Some are acknowledged.
    pub acknowledged: char,
    /// Completion.
    pub completed: char,
    /// A free place in a queue.
    pub free: char,
}

impl Glyphs {
    /// For terminals that can show them: box drawing, arrows and geometric shapes.
    pub const UNICODE: Glyphs = Glyphs {
        data: '━',
        answer: '╌',
        heads: ['▶', '◀'],
        end: '✗',
        again: '↻',
        copy: '»',
        post: '│',
        rule: '─',
        posted: '□',
        sending: '◧',
        in_flight: '■',
        acknowledged: '▣',
        completed: '✓',
        free: '·',
    };

    /// For all other terminals.
    pub const ASCII: Glyphs = Glyphs {
        data: '=',
        answer: '-',
        heads: ['>', '<'],
        end: 'x',
        again: '@',
        copy: '"',
        post: '|',
        rule: '-',
        posted: 'o',
        sending: '%',
        in_flight: '#',
        acknowledged: '+',
        completed: '*',
        free: '.',
    };
}

/// How everything looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Characters.
    pub glyphs: Glyphs,
    /// Whether there are colours.
    pub colours: bool,
}

impl Look {
    /// Headings and what must be seen.
    pub(crate) fn strong(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is less important.
    pub(crate) fn faint(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The lines at the top and at the bottom.
    pub(crate) fn bar(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What went wrong.
    pub(crate) fn bad(&self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What is done.
    pub(crate) fn good(&self) -> Style {
        self.colour(Color::Green)
    }

    /// What is repeated.
    pub(crate) fn again(&self) -> Style {
        self.colour(Color::Magenta)
    }

    /// What answers.
    pub(crate) fn answer(&self) -> Style {
        self.colour(Color::Blue)
    }

    /// One of the terminal's own colours, which its user has chosen to be readable.
    fn colour(&self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }
}
