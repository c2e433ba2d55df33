/* SPDX-License-Identifier: Apache-2.0 */
#include "services_made.h"
#include "measure.h"

#include <arpa/inet.h>
#include <string.h>

#define SERVICES_FROM  0x0a600001u /* 10.96.0.1 */
#define ENDPOINTS_FROM 0x0a800001u /* 10.128.0.1 */
#define NODES          1000

static void *must(void *p)
{
	if (!p)
		die("memory");
	return p;
}

static const char *address(struct arena *a, uint32_t v)
{
	struct in_addr in = { htonl(v) };
	char text[INET_ADDRSTRLEN];

	return must(arena_strdup(a, inet_ntop(AF_INET, &in, text, sizeof(text))));
}

static const char **one_text(struct arena *a, const char *s)
{
	const char **v = must(arena_alloc(a, sizeof(*v)));

	*v = s;
	return v;
}

static struct service *make_service(struct arena *a, uint32_t i)
{
	struct service *s = must(arena_alloc(a, sizeof(*s)));
	struct service_port *p = must(arena_alloc(a, sizeof(*p)));
	uint8_t *family = must(arena_alloc(a, 1));

	*family = IP_FAMILY_4;
	*p = (struct service_port){ .name = "http",
				    .protocol = PROTO_TCP,
				    .port = 80,
				    .targetPort = { .type = INTSTR_INT, .i = 8080 } };
	s->meta.name = must(arena_printf(a, "svc-%05u", i));
	s->meta.namespace = MADE_NAMESPACE;
	s->spec.type = SERVICE_CLUSTER_IP;
	s->spec.clusterIP = address(a, SERVICES_FROM + i);
	s->spec.clusterIPs.v = one_text(a, s->spec.clusterIP);
	s->spec.clusterIPs.n = 1;
	s->spec.ipFamilies.v = family;
	s->spec.ipFamilies.n = 1;
	s->spec.ports.v = p;
	s->spec.ports.n = 1;
	strmap_put(&s->spec.selector, a, "app", s->meta.name);
	return s;
}

static void make_endpoint(struct arena *a, uint32_t number, const char *service,
			  struct slice_endpoint *out)
{
	out->addresses.v = one_text(a, address(a, ENDPOINTS_FROM + number));
	out->addresses.n = 1;
	out->conditions = (struct endpoint_conditions){ TRI_TRUE, TRI_TRUE, TRI_FALSE };
	out->nodeName = must(arena_printf(a, "node-%03u", number % NODES));
	out->targetRef = must(arena_alloc(a, sizeof(*out->targetRef)));
	out->targetRef->kind = "Pod";
	out->targetRef->namespace = MADE_NAMESPACE;
	out->targetRef->name = must(arena_printf(a, "%s-%06u", service, number));
}

static struct endpoint_slice *make_slice(struct arena *a, const struct service *s, uint32_t serial,
					 uint32_t number, uint32_t n)
{
	struct endpoint_slice *x = must(arena_alloc(a, sizeof(*x)));
	struct slice_port *p = must(arena_alloc(a, sizeof(*p)));

	*p = (struct slice_port){ .name = "http", .protocol = PROTO_TCP, .port = 8080 };
	x->meta.name = must(arena_printf(a, "%s-%03u", s->meta.name, serial));
	x->meta.namespace = MADE_NAMESPACE;
	strmap_put(&x->meta.labels, a, "endpointslice.kubernetes.io/managed-by",
		   "endpointslice-controller.k8s.io");
	strmap_put(&x->meta.labels, a, LABEL_SERVICE_NAME, s->meta.name);
	x->addressType = SLICE_IPV4;
	x->ports.v = p;
	x->ports.n = 1;
	x->endpoints.v = must(arena_array(a, n, sizeof(*x->endpoints.v)));
	x->endpoints.n = n;
	for (uint32_t j = 0; j < n; j++)
		make_endpoint(a, number + j, s->meta.name, &x->endpoints.v[j]);
	return x;
}

void made_service(struct arena *a, uint32_t i, uint32_t most, uint32_t first, uint32_t n,
		  struct made_service *out)
{
	out->service = make_service(a, i);
	out->n_slices = (n + MADE_SLICE - 1) / MADE_SLICE;
	out->slices = must(arena_array(a, out->n_slices, sizeof(struct endpoint_slice *)));
	for (uint32_t k = 0; k < out->n_slices; k++) {
		uint32_t begin = k * MADE_SLICE, left = n - begin;

		out->slices[k] = make_slice(a, out->service, k, i * most + first + begin,
					    left < MADE_SLICE ? left : MADE_SLICE);
	}
}
