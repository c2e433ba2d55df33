/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: Kubernetes objects in YAML (any number of documents) or JSON (one object, several
 * one after the other, or a kind List), from files, folders (*.yaml, *.yml, *.json in the
 * order of their names) and standard input.
 *
 * A bad object does not stop the others; what cannot be read at all stops its file. What is there
 * twice, word by word, counts once; two different objects of one name are an error. Errors say
 * "file.yaml:12: IPPool default: spec.blockSize: must be …". */
#pragma once
#include "base/err.h"
#include "model/cluster.h"

#include <jansson.h>

struct manifest_item {
	struct object *obj;
	json_t *json; /* as written */
	char *where;  /* "file.yaml:12": file and line of the document's (or list item's) start */
};

struct manifest_ignored {
	char *what; /* "file.yaml:30: networking.k8s.io/v1 NetworkPolicy shop/db" */
};

/* Zero before the first use; grows with every call; owned by the caller. */
struct manifest {
	struct manifest_item *items;
	size_t n_items;
	struct manifest_ignored *ignored; /* objects of kinds that fairlead does not know */
	size_t n_ignored;
	char **errors;
	size_t n_errors;
	struct manifest_name *names; /* of the items */
};

void manifest_fini(struct manifest *m);

/* Reads `path`: a file, a folder, or "-". Fails only where the path itself cannot be read;
 * what is wrong inside goes to m->errors. */
int manifest_load(struct manifest *m, const char *path, struct err *e);
/* The same for text in memory; `name` stands for the file's name in errors. */
void manifest_parse(struct manifest *m, const char *name, const char *text, size_t n);
/* Moves the objects into a cluster, for commands without a store. */
void manifest_into_cluster(struct manifest *m, struct cluster *c);
