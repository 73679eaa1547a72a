// Package checkpoint keeps usage history in ConfigMaps, so that a restart or another leader goes on from where the last one stopped.
//
// Histories are gathered in shards by a hash of the workload, compressed, cut into chunks below the size limit of an object, and named
// after their content. A manifest lists the chunks and is written last: a reader sees either the whole former checkpoint or the whole
// new one, whenever the writer dies. What a history holds is recommender/estimate's business.
package checkpoint
