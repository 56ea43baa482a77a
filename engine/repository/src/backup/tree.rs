//! stub being written
use super::parent::ParentTrees;
use super::pipeline::Shared;
use super::stats::Stats;
use crate::tree::Node;
use crate::{Result, source};
use std::sync::Arc;
pub(crate) fn archive_tree(
    _: &Arc<Shared>,
    _: &source::Tree,
    _: Option<&Node>,
    _: Option<&ParentTrees>,
    _: &Arc<Stats>,
) -> Result<Node> {
    Err(crate::Error::cancelled())
}
