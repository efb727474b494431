//! One list, cut.

use proptest::prelude::*;

use super::*;

/// The least time of all ways to make runs of `left`, whatever they hold.
fn exhaustive(left: &[usize], grid: &CostGrid, rules: &Rules) -> f64 {
    let Some((first, others)) = left.split_first() else { return 0.0 };
    (0..1u32 << others.len())
        .filter_map(|with| {
            let (mut run, mut rest) = (vec![*first], Vec::new());
            for (bit, text) in others.iter().enumerate() {
                if with >> bit & 1 == 1 { run.push(*text) } else { rest.push(*text) }
            }
            let length = rules.padded(run.iter().copied().max()?);
            obeys(rules, &run, length).then(|| grid.seconds(run.len(), length) + exhaustive(&rest, grid, rules))
        })
        .fold(f64::INFINITY, f64::min)
}

proptest! {
    #[test]
    fn every_text_is_in_one_run_that_obeys(lengths in prop::collection::vec(0usize..600, 0..120), rules in any_rules()) {
        let groups = split(&lengths, &bf16(), &rules);
        let mut seen: Vec<usize> = groups.iter().flat_map(|group| group.texts.clone()).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
        for group in groups {
            let members: Vec<usize> = group.texts.iter().map(|text| lengths[*text]).collect();
            prop_assert!(obeys(&rules, &members, group.length), "{members:?} in {group:?} under {rules:?}");
        }
    }

    #[test]
    fn no_way_to_make_runs_is_faster(
        lengths in prop::collection::vec(1usize..300, 0..7),
        rules in any_rules(),
        model in 0usize..3,
    ) {
        let (_, grid, _) = &models()[model];
        let (ours, best) = (total(&lengths, grid, &rules), exhaustive(&lengths, grid, &rules));
        prop_assert!((ours - best).abs() <= 1e-9 * best.max(1e-9), "{ours} is not {best}");
    }

    #[test]
    fn no_numbers_panic(
        lengths in prop::collection::vec(any::<usize>(), 0..20),
        max_rows in prop_oneof![0usize..100, Just(4096)],
        max_padded in prop::option::of(any::<usize>()),
        buckets in prop::collection::vec(any::<usize>(), 0..4),
        rows in 0usize..5000,
        tokens in any::<usize>(),
    ) {
        let grid = CostGrid::new(rows, tokens);
        let rules = Rules { max_rows, max_padded, buckets: buckets.into(), ..rules(1) };
        let texts: usize = split(&lengths, &grid, &rules).iter().map(|group| group.texts.len()).sum();
        prop_assert_eq!(texts, lengths.len());
    }
}

#[test]
fn groups_are_as_large_as_the_model_likes() {
    let sizes = |(_, grid, rules): &(&str, CostGrid, Rules)| {
        let groups = split(&[64; 256], grid, rules);
        groups.iter().map(|group| group.texts.len()).max()
    };
    assert_eq!(models().each_ref().map(sizes), [Some(2), Some(8), Some(128)]);
}

#[test]
fn a_text_alone_is_a_run() {
    for (_, grid, rules) in models() {
        let groups = split(&[17], &grid, &rules);
        assert_eq!(
            groups.iter().map(|group| (group.texts.as_slice(), group.length)).collect::<Vec<_>>(),
            [(&[0][..], 17)]
        );
    }
    assert_eq!(split(&[], &fp32(), &rules(8)), []);
}

#[test]
fn buckets_are_the_only_lengths() {
    let rules = Rules { buckets: [32, 64, 128].into(), ..rules(32) };
    let groups = split(&[3, 31, 32, 33, 90, 128, 129, 300], &gpu(), &rules);
    assert!(groups.iter().all(|group| [32, 64, 128, 129, 300].contains(&group.length)), "{groups:?}");
    assert_eq!([1, 32, 33, 128, 129].map(|length| rules.padded(length)), [32, 32, 64, 128, 129]);
}
