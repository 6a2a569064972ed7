import ONNXTensor
import QuantVerification
import Testing

@Suite struct ClassificationTests {
  private func top(_ values: [Float], _ shape: [Int]) -> [Int]? {
    Classification.topOne(Tensor(values, shape: shape))
  }

  @Test func theLargestOfEachRow() {
    #expect(top([1, 3, 2, 9, -1, 0], [2, 3]) == [1, 0])
    #expect(top([-5, -1, -3], [1, 3]) == [1])
    #expect(top([-5, -1, -3], [3]) == [1])
    #expect(top([1, 3, 2, 9, -1, 0], [2, 3, 1, 1]) == [1, 0])
    #expect(top([0, .infinity, 1], [1, 3]) == [1])
  }

  @Test func ofEqualScoresTheFirst() {
    #expect(top([2, 2, 2], [1, 3]) == [0])
    #expect(top([1, 2, 2, 0, 0, -1], [2, 3]) == [1, 0])
    #expect(top([-0.0, 0], [1, 2]) == [0])
  }

  @Test func integersScoreToo() {
    #expect(Classification.topOne(Tensor([Int8(-3), 4, 1, 2], shape: [2, 2])) == [1, 1])
  }

  @Test func whatIsNoRowsOfScores() {
    #expect(top([1], [1]) == nil)
    #expect(top([1, 2], [2, 1]) == nil)
    #expect(top([1, 2, 3, 4], [1, 2, 2]) == nil)
    #expect(top([1], []) == nil)
    #expect(Classification.topOne(Tensor(strings: [[1], [2]], shape: [1, 2])) == nil)
    #expect(top([], [0, 3]) == [])
  }
}
