"""Multi-task learning: from photographs to a network that predicts full-reference scores.

Rooms, each built on those above it:

    runtime      files, pictures, tables, progress, memory, threads, caches, Ray
    curation     pristine crops of photographs
    evaluation   correlations, splits, what a model has seen
    kadis        data sets: recipes, plan, records, shards; verification
    network      the table of networks, their layers, heads and weights; imports of others' weights
    file_tools   distortions and metrics for files and folders
    ratings      from raw opinions to scores
    denoising    training of the network of distortion type 15
    published    KADIS-700k's own files: export, import, comparison
    training     one engine, and its objectives: multitask, opinions
"""
