//! Tests of what manifests demand together.

use super::*;

fn references(active: &[u32], inactive: &[u32]) -> BTreeMap<u32, ReferenceMeasurement> {
    fn of(indices: &[u32], active: bool) -> impl Iterator<Item = (u32, ReferenceMeasurement)> {
        indices.iter().map(move |index| {
            let reference = ReferenceMeasurement {
                active,
                alternatives: vec![vec![1; 48]],
            };
            (*index, reference)
        })
    }
    of(active, true).chain(of(inactive, false)).collect()
}

#[test]
fn active_indices_add_up_and_inactive_ones_count_nothing() {
    let driver = references(&[7, 35], &[0, 1]);
    let vbios = references(&[0, 1], &[7, 35]);
    let wanted = disjoint([&driver, &vbios].into_iter(), false).unwrap();
    assert_eq!(wanted, BTreeSet::from([0, 1, 7, 35]));
}

#[test]
fn nvdec0_that_is_off_measures_nothing() {
    let driver = references(&[7, 35], &[]);
    let wanted = disjoint([&driver].into_iter(), true).unwrap();
    assert_eq!(wanted, BTreeSet::from([7]));
}

#[test]
fn manifests_that_overlap_are_refused() {
    let (driver, vbios) = (references(&[7, 9], &[]), references(&[9], &[]));
    let refused = disjoint([&driver, &vbios].into_iter(), false).unwrap_err();
    assert_eq!(refused.code(), crate::ErrorCode::GpuReferenceInvalid);
    assert!(
        matches!(refused, GpuError::ReferenceOverlap(overlap) if overlap == BTreeSet::from([9]))
    );
}

#[test]
fn manifests_that_demand_nothing_are_refused() {
    let none = references(&[], &[1, 2]);
    let refused = disjoint([&none].into_iter(), false).unwrap_err();
    assert!(matches!(refused, GpuError::ReferenceEmpty));
    assert_eq!(refused.code(), crate::ErrorCode::GpuReferenceInvalid);
}
