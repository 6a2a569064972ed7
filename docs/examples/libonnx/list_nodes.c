// Lists the nodes of a model: cc list_nodes.c $(pkg-config --cflags --libs libonnx)
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "onnx_reader.h"

static const char *text(const char *string) { return string ? string : ""; }

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s MODEL.onnx\n", argv[0]);
    return 2;
  }
  onnx_model_file file;
  onnx_report report;
  onnx_status status = onnx_model_open(argv[1], &file, &report);
  if (status == ONNX_FILE) {
    fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
    return 3;
  }
  if (status != ONNX_OK) {
    fprintf(stderr, "%s: %s at byte %" PRIu64 " (%s.%s)\n", argv[1], onnx_status_text(status), report.offset,
            text(report.message), text(report.field));
    return 3;
  }
  const Onnx__GraphProto *graph = file.model->graph;
  size_t nodes = graph ? graph->n_node : 0, weights = 0;
  for (size_t i = 0; i < nodes; i++) {
    const Onnx__NodeProto *node = graph->node[i];
    printf("%s %s:", text(node->op_type), text(node->name));
    for (size_t k = 0; k < node->n_input; k++) printf(" %s", node->input[k]);
    printf(" ->");
    for (size_t k = 0; k < node->n_output; k++) printf(" %s", node->output[k]);
    putchar('\n');
  }
  for (size_t i = 0; graph && i < graph->n_initializer; i++) weights += graph->initializer[i]->raw_data.len;
  printf("%zu nodes, %zu bytes of raw weights\n", nodes, weights);
  onnx_model_close(&file);
  return 0;
}
