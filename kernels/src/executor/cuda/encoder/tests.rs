//! Sizes of batches, and models that the kernels do not know.

use std::collections::HashSet;

use super::super::graphs::SHAPES_MAX;
use super::*;

#[test]
fn a_model_of_other_sizes_is_refused() {
    let right = Dimensions {
        hidden: 384,
        heads: 12,
        layers: 6,
        intermediate: 1_536,
        vocabulary: 30_522,
        positions: 512,
        types: 2,
    };
    assert!(
        fits(right)
            && fits(Dimensions {
                layers: 12,
                ..right
            })
    );
    for wrong in [
        Dimensions {
            hidden: 768,
            ..right
        },
        Dimensions { heads: 6, ..right },
        Dimensions {
            intermediate: 768,
            ..right
        },
        Dimensions {
            positions: 255,
            ..right
        },
        Dimensions { types: 0, ..right },
    ] {
        assert!(!fits(wrong), "{wrong:?}");
    }
}

#[test]
fn a_bucket_holds_its_batch_and_little_more() {
    for tokens in 1..=TOKENS_MAX {
        let bucket = Bucket::of(tokens, 1);
        assert!(bucket.tokens >= tokens && bucket.tokens <= TOKENS_MAX);
        assert!(
            bucket.tokens - tokens < 64 || bucket.tokens * 4 <= tokens * 5,
            "{tokens}"
        );
    }
    assert_eq!(
        [1, 2, 4, 5, 16, 17, 1_024].map(|texts| Bucket::of(1, texts).texts),
        [1, 4, 4, 16, 16, 64, 1_024]
    );
}

/// Every text has two tokens at least, and 256 at most.
#[test]
fn all_batches_come_in_as_many_shapes_as_are_remembered() {
    let mut buckets = HashSet::new();
    for tokens in 2..=TOKENS_MAX {
        for texts in tokens.div_ceil(TEXT_TOKENS_MAX)..=(tokens / 2).min(TEXTS_MAX) {
            buckets.insert(Bucket::of(tokens, texts));
        }
    }
    assert!(buckets.len() <= SHAPES_MAX, "{}", buckets.len());
}

#[test]
fn arrays_do_not_overlap_and_no_batch_is_larger_than_the_largest() {
    for (tokens, texts) in [(1, 1), (64, 3), (777, 77), (8_192, 1_024)] {
        let layout = Layout::of(Bucket::of(tokens, texts));
        let offsets = [
            layout.words,
            layout.positions,
            layout.starts,
            layout.residual,
            layout.operand,
            layout.qkv,
            layout.attention,
            layout.product,
            layout.intermediate,
            layout.vectors,
            layout.bytes,
        ];
        assert!(offsets.is_sorted() && layout.input_bytes <= layout.residual);
        assert!(layout.bytes <= Layout::largest().bytes);
    }
}
