"""onnxruntime as the scripts use it: exact (graph optimization off) and as shipped."""
import pathlib

import onnxruntime

onnxruntime.set_default_logger_severity(3)


class Engine:
    def __init__(self, path, optimized=False, threads=2):
        options = onnxruntime.SessionOptions()
        level = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(pathlib.Path(path)), options, ["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]

    def run(self, sample):
        """Output name to array."""
        return dict(zip(self.outputs, self.session.run(None, sample), strict=True))
