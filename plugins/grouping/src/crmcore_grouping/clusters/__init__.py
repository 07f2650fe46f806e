"""Clusters: customers who are alike, found by k-means and told as rules of segments."""

from crmcore_grouping.clusters.clustering import Cluster, Clustering, find_clusters

__all__ = ["Cluster", "Clustering", "find_clusters"]
