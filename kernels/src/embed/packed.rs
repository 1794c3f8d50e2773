//! The tokens of many texts, one after another: no place is spent on padding.

use std::ops::Range;

/// Tokens of texts, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    tokens: Vec<u32>,
    /// Where each text begins, and behind the last one where it ends.
    starts: Vec<usize>,
}

impl Default for Packed {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            starts: vec![0],
        }
    }
}

impl Packed {
    pub fn push(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        self.starts.push(self.tokens.len());
    }

    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The first token's place of each text, and the end.
    #[must_use]
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    #[must_use]
    pub fn text_count(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Places of each text's tokens.
    pub fn texts(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.starts.iter().skip(1);
        self.starts
            .iter()
            .zip(ends)
            .map(|(start, end)| *start..*end)
    }
}

/// Cuts texts into packs of at most `tokens_max` tokens, in order; a text longer than that makes a pack of its own.
#[must_use]
pub fn cut(texts: &[Vec<u32>], tokens_max: usize) -> Vec<Packed> {
    let mut packs = Vec::new();
    let mut pack = Packed::default();
    for text in texts {
        let full = pack.tokens.len().saturating_add(text.len()) > tokens_max;
        if full && pack.text_count() > 0 {
            packs.push(std::mem::take(&mut pack));
        }
        pack.push(text);
    }
    if pack.text_count() > 0 {
        packs.push(pack);
    }
    packs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lie_one_after_another() {
        let mut pack = Packed::default();
        for text in [&[1, 2, 3][..], &[4], &[5, 6]] {
            pack.push(text);
        }
        assert_eq!(pack.tokens(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(pack.starts(), [0, 3, 4, 6]);
        assert_eq!(pack.texts().collect::<Vec<_>>(), [0..3, 3..4, 4..6]);
    }

    #[test]
    fn a_pack_is_cut_before_it_exceeds_the_budget() {
        let texts = [3, 4, 9, 1, 2, 5].map(|length| vec![0; length]);
        let lengths = |packs: &[Packed]| {
            let lengths = packs
                .iter()
                .map(|pack| pack.texts().map(|text| text.len()).collect());
            lengths.collect::<Vec<Vec<_>>>()
        };
        assert_eq!(
            lengths(&cut(&texts, 8)),
            [vec![3, 4], vec![9], vec![1, 2, 5]]
        );
        assert_eq!(cut(&texts, 100).len(), 1);
        assert_eq!(cut(&[], 8), []);
    }
}
