// SPDX-License-Identifier: Apache-2.0
/* fairlead completion bash: a script made of the tables of verbs and options, so that it
 * knows what this very program knows. */
#include "cmd/verbs.h"

#include <string.h>

static void put_options(const struct opt *o, FILE *to)
{
	for (; o && o->name; o++) {
		if (o->hidden)
			continue;
		fprintf(to, " --%s%s", o->name, o->optional ? "=" : "");
		if (o->letter)
			fprintf(to, " -%c", o->letter);
	}
}

/* One case per verb: $words (what follows) and $opts. */
static void put_verbs(const struct cmd *const *verbs, const char *path, FILE *to)
{
	for (; *verbs; verbs++) {
		const struct cmd *c = *verbs;
		char full[128];

		snprintf(full, sizeof(full), "%s%s%s", path, *path ? " " : "", c->name);
		fprintf(to, "\t\"%s\") words=\"", full);
		for (const struct cmd *const *s = c->subs; s && *s; s++)
			fprintf(to, " %s", (*s)->name);
		fputs(c->complete && !strcmp(c->complete, "kind") ? "$kinds" : "", to);
		fputs(c->complete && !strcmp(c->complete, "shell") ? "bash" : "", to);
		fputs(c->complete && !strcmp(c->complete, "file") ? "$(compgen -f -- $cur)" : "",
		      to);
		fputs("\" opts=\"", to);
		put_options(c->opts, to);
		fputs("\" ;;\n", to);
		if (c->subs)
			put_verbs(c->subs, full, to);
	}
}

static void put_paths(const struct cmd *const *verbs, const char *path, FILE *to)
{
	for (; *verbs; verbs++) {
		char full[128];

		snprintf(full, sizeof(full), "%s%s%s", path, *path ? " " : "", (*verbs)->name);
		fprintf(to, "|\"%s\"", full);
		if ((*verbs)->subs)
			put_paths((*verbs)->subs, full, to);
	}
}

#define LABS "$(compgen -W \"$(ls " LAB_RUN " 2>/dev/null)\" -- \"$cur\")"

/* Values of options: files, labs, or one of a few words. */
static void put_values(const struct cmd *const *verbs, FILE *to)
{
	for (; *verbs; verbs++) {
		for (const struct opt *o = (*verbs)->opts; o && o->name; o++) {
			if (o->type != OPT_ENUM && !o->complete)
				continue;
			if (o->letter)
				fprintf(to, "\t\"%s -%c\"|", (*verbs)->name, o->letter);
			else
				fputc('\t', to);
			fprintf(to, "\"%s --%s\") ", (*verbs)->name, o->name);
			if (o->complete && !strcmp(o->complete, "file")) {
				fputs("COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", to);
				continue;
			}
			if (o->complete && !strcmp(o->complete, "lab")) {
				fputs("COMPREPLY=(" LABS "); return ;;\n", to);
				continue;
			}
			fputs("COMPREPLY=($(compgen -W \"", to);
			for (size_t i = 0; o->names && i < o->names->n; i++)
				if (o->names->v[i])
					fprintf(to, "%s ", o->names->v[i]);
			fputs("\" -- \"$cur\")); return ;;\n", to);
		}
		if ((*verbs)->subs)
			put_values((*verbs)->subs, to);
	}
}

static void put_script(FILE *to)
{
	fputs("# fairlead completion for bash: source <(fairlead completion bash)\n"
	      "_fairlead()\n{\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal verb= last= words= opts= i w kinds=\"",
	      to);
	for (unsigned k = 0; k < KIND_COUNT; k++)
		if (kind_by_id(k))
			fprintf(to, " %s", kind_by_id(k)->plural);
	fputs("\"\n\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	      "\t\tw=${COMP_WORDS[i]}\n"
	      "\t\tcase $w in --store|--lab) i=$((i + 1)); continue ;; -*) continue ;; esac\n"
	      "\t\tcase \"$verb${verb:+ }$w\" in \"\"",
	      to);
	put_paths(cmd_verbs, "", to);
	fputs(") verb=\"$verb${verb:+ }$w\"; last=$w ;; esac\n\tdone\n"
	      "\tcase $prev in\n"
	      "\t--lab) COMPREPLY=(" LABS "); return ;;\n"
	      "\t--store) COMPREPLY=($(compgen -W dir: -- \"$cur\")); return ;;\n\tesac\n"
	      "\tcase \"$last $prev\" in\n",
	      to);
	put_values(cmd_verbs, to);
	fputs("\tesac\n\tcase $verb in\n\t\"\") words=\"", to);
	for (const struct cmd *const *v = cmd_verbs; *v; v++)
		fprintf(to, " %s", (*v)->name);
	fputs("\" ;;\n", to);
	put_verbs(cmd_verbs, "", to);
	fputs("\tesac\n"
	      "\tcase $cur in -*) words=\"$opts --store --lab --help\" ;; esac\n"
	      "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	      "\t[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n}\n"
	      "complete -F _fairlead fairlead\n",
	      to);
}

static int run_completion(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	if (argc != 1 || strcmp(argv[0], "bash") != 0)
		return cmd_usage(ctx, "takes the shell's name: bash");
	put_script(stdout);
	return CMD_OK;
}

const struct cmd cmd_completion = {
	.name = "completion",
	.args = "bash",
	.summary = "Print the shell's completion script",
	.help = "Try:\n  source <(fairlead completion bash)",
	.complete = "shell",
	.run = run_completion,
};
