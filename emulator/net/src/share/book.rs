//! What the processes on one address must agree about.

/// Lanes there can be at one address; 255 belongs to multicast.
pub(super) const LANES: usize = 255;

/// Who is at an address, and in which order the kernel has their sockets.
///
/// The kernel numbers the sockets of a group in the order in which they were bound; when one is closed, the last
/// takes its number. The steering program speaks in these numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    /// Counts changes of the order.
    pub(super) generation: u64,
    /// The lane to try first for who comes next: not one that was just given up.
    pub(super) next: u8,
    /// Lanes, by the number of the socket.
    pub(super) order: Vec<u8>,
}

/// Says which version of this layout a file has.
const MAGIC: [u8; 8] = *b"ferroce1";
const HEADER: usize = 18;

impl Book {
    /// Bytes of a book in its file: less than a page, so that none is ever written in part.
    pub(super) const LEN: usize = 512;

    /// Reads what [`emit`](Self::emit) wrote; `None` for anything else.
    pub(super) fn parse(bytes: &[u8]) -> Option<Book> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let (magic, header) = header.split_first_chunk::<8>()?;
        let (generation, [next, count]) = header.split_first_chunk::<8>()? else { return None };
        let order = rest.get(..usize::from(*count))?;
        let legal = order
            .iter()
            .enumerate()
            .all(|(index, lane)| usize::from(*lane) < LANES && !order[..index].contains(lane));
        (*magic == MAGIC && legal).then(|| Book {
            generation: u64::from_le_bytes(*generation),
            next: *next,
            order: order.to_vec(),
        })
    }

    pub(super) fn emit(&self) -> [u8; Book::LEN] {
        let mut bytes = [0; Book::LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..HEADER].copy_from_slice(&[self.next, self.order.len() as u8]);
        bytes[HEADER..HEADER + self.order.len()].copy_from_slice(&self.order);
        bytes
    }

    /// A socket was bound.
    pub(super) fn join(&mut self, lane: u8) {
        self.generation += 1;
        self.next = ((usize::from(lane) + 1) % LANES) as u8;
        self.order.push(lane);
    }

    /// A socket was closed, and the last one has its number now.
    pub(super) fn leave(&mut self, lane: u8) {
        if let Some(index) = self.order.iter().position(|other| *other == lane) {
            self.generation += 1;
            self.order.swap_remove(index);
        }
    }

    /// What was steered to `meant` arrived at `found`: that is the one whose socket has the number.
    pub(super) fn correct(&mut self, meant: u8, found: u8) {
        let place = |lane| self.order.iter().position(|other| *other == lane);
        if let (Some(a), Some(b)) = (place(meant), place(found)) {
            self.generation += 1;
            self.order.swap(a, b);
        }
    }
}

/// A lane that is in none of the books, and of which `is_taken` does not know either.
pub(super) fn free_lane(books: &[&Book], is_taken: impl Fn(u8) -> bool) -> Option<u8> {
    let first = usize::from(books.first()?.next);
    let mut lanes = (first..first + LANES).map(|lane| (lane % LANES) as u8);
    lanes.find(|lane| books.iter().all(|book| !book.order.contains(lane)) && !is_taken(*lane))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(book: &Book) -> Option<u8> {
        free_lane(&[book], |_| false)
    }

    #[test]
    fn a_book_is_read_as_it_was_written_and_nothing_else_is() {
        let mut book = Book::default();
        (0..LANES).for_each(|_| book.join(free(&book).unwrap()));
        assert_eq!((free(&book), book.order.len()), (None, LANES));
        assert_eq!(Book::parse(&book.emit()), Some(book.clone()));
        assert_eq!(Book::parse(&[]), None);
        assert_eq!(Book::parse(&[0; Book::LEN]), None);
        let mut twice = book.emit();
        twice[HEADER] = twice[HEADER + 1];
        assert_eq!(Book::parse(&twice), None);
        let mut multicast = book.emit();
        multicast[HEADER] = 255;
        assert_eq!(Book::parse(&multicast), None);
    }

    #[test]
    fn who_leaves_is_replaced_by_the_last_and_the_lane_rests() {
        let mut book = Book::default();
        (0..4).for_each(|_| book.join(free(&book).unwrap()));
        book.leave(1);
        assert_eq!(book.order, [0, 3, 2]);
        assert_eq!(free(&book), Some(4));
        book.correct(0, 2);
        assert_eq!(book.order, [2, 3, 0]);
    }
}
