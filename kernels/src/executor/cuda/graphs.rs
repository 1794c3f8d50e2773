//! Graphs of the lots that come again: one call begins all of a lot's copies and kernels, instead of one call for each.

use std::collections::HashMap;

use super::lot::LotShape;
use super::stream::Graph;

/// Shapes remembered for each slot. Small tasks of one kind come in lots of few sizes, and batches of texts in fewer than
/// this, see [`super::encoder::Bucket`].
pub(super) const SHAPES_MAX: usize = 128;
/// A lot of more steps than this is begun step by step: the device is busy with it for longer than that takes, and its graph
/// would take as long to make as hundreds of launches.
const STEPS_MAX: usize = 256;

/// What to do with a lot.
#[derive(Debug)]
pub(super) enum Way<'a> {
    /// Step by step: its shape is new.
    Directly,
    /// Step by step, and recorded: it came before and may come again.
    Recorded,
    Replayed(&'a Graph),
}

/// Graphs by shape, for one memory.
#[derive(Debug, Default)]
pub(super) struct Graphs {
    known: HashMap<LotShape, Known>,
    turn: u64,
}

#[derive(Debug)]
struct Known {
    graph: Option<Graph>,
    used: u64,
}

impl Graphs {
    pub(super) fn way(&mut self, shape: &LotShape) -> Way<'_> {
        if shape.steps.len() > STEPS_MAX {
            return Way::Directly;
        }
        self.turn += 1;
        if !self.known.contains_key(shape) {
            self.make_room();
            let known = Known {
                graph: None,
                used: self.turn,
            };
            self.known.insert(shape.clone(), known);
            return Way::Directly;
        }
        match self.known.get_mut(shape) {
            Some(known) => {
                known.used = self.turn;
                known.graph.as_ref().map_or(Way::Recorded, Way::Replayed)
            }
            None => Way::Directly,
        }
    }

    /// Keeps the graph that was recorded; it lies where it can be replayed from.
    pub(super) fn keep(&mut self, shape: &LotShape, graph: Graph) -> Option<&Graph> {
        let known = self.known.get_mut(shape)?;
        Some(known.graph.insert(graph))
    }

    /// Of a shape that cannot be recorded.
    pub(super) fn forget(&mut self, shape: &LotShape) {
        self.known.remove(shape);
    }

    /// Forgets the shape that was not seen for longest.
    fn make_room(&mut self) {
        if self.known.len() < SHAPES_MAX {
            return;
        }
        let oldest = self.known.iter().min_by_key(|(_, known)| known.used);
        if let Some(shape) = oldest.map(|(shape, _)| shape.clone()) {
            self.known.remove(&shape);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(bytes: usize) -> LotShape {
        LotShape {
            bytes,
            ..LotShape::default()
        }
    }

    #[test]
    fn a_shape_is_recorded_when_it_comes_again() {
        let mut graphs = Graphs::default();
        assert!(matches!(graphs.way(&shape(1)), Way::Directly));
        assert!(matches!(graphs.way(&shape(2)), Way::Directly));
        assert!(matches!(graphs.way(&shape(1)), Way::Recorded));
    }

    #[test]
    fn the_shape_that_was_not_seen_for_longest_is_forgotten() {
        let mut graphs = Graphs::default();
        for bytes in 0..SHAPES_MAX {
            graphs.way(&shape(bytes));
        }
        graphs.way(&shape(0));
        graphs.way(&shape(SHAPES_MAX));
        assert_eq!(graphs.known.len(), SHAPES_MAX);
        assert!(matches!(graphs.way(&shape(0)), Way::Recorded));
        assert!(matches!(graphs.way(&shape(1)), Way::Directly));
    }
}
