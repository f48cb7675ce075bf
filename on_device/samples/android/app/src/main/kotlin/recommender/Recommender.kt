package recommender

import java.io.File
import kotlin.math.abs
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite

const val EXCLUDED = -30000f // The bias that excludes an item: far below any score.
const val LARGEST_BOOST = 1000f

/** A recommended item. Scores of `recommend` are comparable within one answer only; those of `similar` are cosines. */
data class Recommendation(val item: Item, val score: Float)

/** An item of a history, and how much the score of a recommended item falls without it. */
data class Reason(val item: Item, val contribution: Float)

/**
 * Which items may be returned, and how many.
 *
 * @property k number of items, from 1 to `topK`; null for 10.
 * @property allow ids of the only items that may be returned, such as those in stock; null allows all.
 * @property deny ids of items to exclude.
 * @property boost values to add to the scores of some items, by id.
 */
data class Choice(
    val k: Int? = null,
    val allow: Collection<String>? = null,
    val deny: Collection<String> = emptyList(),
    val boost: Map<String, Float> = emptyMap(),
)

/** Values of a model's inputs besides the history: numbers, words or seconds since 1970; null if unknown. */
typealias Activity = Map<String, List<Any?>>

/** Recommends with a pushed model. Threads may share a recommender: calls run one at a time. */
class Recommender(artifact: Artifact) : AutoCloseable {
    constructor(folder: File) : this(Artifact(folder))

    val catalogue = Catalogue(artifact.items)
    private val recommendsSeen = artifact.info.optBoolean("recommends_seen")
    private val wordIndices: Map<String, Map<String, Int>> = words(artifact)
    private val interpreter: Interpreter

    init {
        val needed = artifact.info.optString("min_runtime")
        val installed = TensorFlowLite.runtimeVersion()
        if (isOlder(installed, needed)) {
            throw ArtifactException("${artifact.model}: needs TensorFlow Lite $needed, the app has $installed")
        }
        // Only recent releases use XNNPACK by default. Without it, an inference takes several times as long.
        interpreter = Interpreter(artifact.model, Interpreter.Options().setUseXNNPACK(true))
        for ((name, value) in listOf("history_length" to historyLength, "top_k" to topK)) {
            if (artifact.info.optInt(name) != value) {
                throw ArtifactException("${artifact.model}: $name is $value, but $INFO says ${artifact.info.opt(name)}")
            }
        }
    }

    /** Number of items N of a history that the model uses. */
    val historyLength: Int get() = interpreter.getInputTensorFromSignature("history", "recommend").shape()[1]

    /** Largest number of items K of an answer. */
    val topK: Int get() = interpreter.getOutputTensorFromSignature("ids", "recommend").shape()[1]

    /**
     * Returns the best items for a user, best first, without the items of the history.
     *
     * @param history ids, oldest first; an empty history returns popular items.
     * @param diversity from 0, the best items, to 1, the most diverse of the best K.
     */
    @Synchronized
    fun recommend(
        history: List<String>,
        choice: Choice = Choice(),
        diversity: Double = 0.0,
        activity: Activity = emptyMap(),
    ): List<Recommendation> {
        val length = length(choice)
        if (!(diversity in 0.0..1.0)) throw ArtifactException("diversity is $diversity; expected a number from 0 to 1")
        val indices = history.map(catalogue::index)
        val bias = bias(choice)
        // The model excludes the items that it sees; older items are excluded here.
        if (!recommendsSeen) indices.dropLast(historyLength).forEach { bias[it] = EXCLUDED }
        val ranked = ranked("recommend", historyInputs(indices, activity) + ("bias" to arrayOf(bias)))
        if (diversity == 0.0) return ranked.take(length)
        return diversified(ranked, length, diversity)
    }

    /** Returns the items that users choose in the same situations as an item, the most similar first. */
    @Synchronized
    fun similar(id: String, choice: Choice = Choice()): List<Recommendation> {
        val length = length(choice)
        val inputs = mapOf("item" to arrayOf(intArrayOf(knownIndex(id))), "bias" to arrayOf(bias(choice)))
        return ranked("similar", inputs).take(length)
    }

    /** Returns the ten latest items of a history by their contribution to the score of an item, the largest first. */
    @Synchronized
    fun because(history: List<String>, id: String, activity: Activity = emptyMap()): List<Reason> {
        val indices = history.map(catalogue::index)
        val contributions = Array(1) { FloatArray(historyLength) }
        val inputs = historyInputs(indices, activity) + ("item" to arrayOf(intArrayOf(knownIndex(id))))
        run("explain", inputs, mapOf("contributions" to contributions))
        return indices.takeLast(historyLength).zip(contributions[0].asIterable())
            .filter { (index, contribution) -> index >= FIRST_INDEX && contribution != 0f }
            .map { (index, contribution) -> Reason(catalogue.at(index), contribution) }
            .sortedByDescending { it.contribution }
    }

    override fun close() = interpreter.close()

    private fun length(choice: Choice): Int {
        val length = choice.k ?: minOf(10, topK)
        if (length !in 1..topK) throw ArtifactException("k is $length; expected an integer from 1 to $topK")
        return length
    }

    private fun knownIndex(id: String): Int =
        catalogue.find(id)?.index ?: throw ArtifactException("$ITEMS: no item with the id $id")

    private fun bias(choice: Choice): FloatArray {
        val bias = FloatArray(catalogue.items.size + FIRST_INDEX)
        for ((id, value) in choice.boost) {
            if (!(abs(value) <= LARGEST_BOOST)) throw ArtifactException("boost of $id is $value; expected up to $LARGEST_BOOST")
            bias[catalogue.index(id)] = value
        }
        choice.allow?.let { ids ->
            val allowed = ids.mapTo(HashSet(), catalogue::index)
            bias.indices.forEach { if (it !in allowed) bias[it] = EXCLUDED }
        }
        choice.deny.forEach { bias[catalogue.index(it)] = EXCLUDED }
        return bias
    }

    /** Returns the inputs that describe a history, each [1, N]: the last N values, then padding. */
    private fun historyInputs(indices: List<Int>, activity: Activity): Map<String, Any> {
        val names = interpreter.getSignatureInputs("recommend").filter { it != "history" && it != "bias" }
        activity.keys.find { it !in names && it != "ratings" && it != "times" }?.let {
            throw ArtifactException("$MODEL: has no input $it")
        }
        activity.forEach { (name, values) ->
            if (values.size != indices.size) {
                throw ArtifactException("$name: ${values.size} values for a history of ${indices.size} items")
            }
        }
        val recent = IntArray(historyLength) { PADDING }
        indices.takeLast(historyLength).forEachIndexed { position, index -> recent[position] = index }
        return mapOf<String, Any>("history" to arrayOf(recent)) + names.associateWith { name ->
            val values = activity[name].orEmpty().takeLast(historyLength)
            if (interpreter.getInputTensorFromSignature(name, "recommend").dataType() == DataType.FLOAT32) {
                val numbers = FloatArray(historyLength) { Float.NaN }
                values.forEachIndexed { position, value -> (value as? Number)?.let { numbers[position] = it.toFloat() } }
                arrayOf(numbers)
            } else {
                val integers = IntArray(historyLength)
                values.forEachIndexed { position, value -> integers[position] = encode(name, value) }
                arrayOf(integers)
            }
        }
    }

    /** Returns a time, or the index of a word; 0 if unknown. */
    private fun encode(name: String, value: Any?): Int {
        val words = wordIndices[name] ?: return (value as? Number)?.toLong()?.toInt() ?: 0
        val word = value?.toString()?.trim().orEmpty()
        return if (word.isEmpty()) PADDING else words[word] ?: UNKNOWN
    }

    private fun ranked(signature: String, inputs: Map<String, Any>): List<Recommendation> {
        val ids = Array(1) { IntArray(topK) }
        val scores = Array(1) { FloatArray(topK) }
        run(signature, inputs, mapOf("ids" to ids, "scores" to scores))
        // -1 marks empty places.
        return ids[0].zip(scores[0].asIterable())
            .filter { (index, _) -> index >= FIRST_INDEX }
            .map { (index, score) -> Recommendation(catalogue.at(index), score) }
    }

    private fun run(signature: String, inputs: Map<String, Any>, outputs: Map<String, Any>) {
        if (signature !in interpreter.signatureKeys) {
            throw ArtifactException("$MODEL: has no signature $signature; add $signature to pusher.signatures and push again")
        }
        interpreter.runSignature(inputs, outputs, signature)
    }

    /** Selects items by maximal marginal relevance (Carbonell and Goldstein, 1998); see on_device/diversity.py. */
    private fun diversified(ranked: List<Recommendation>, length: Int, diversity: Double): List<Recommendation> {
        if (ranked.isEmpty()) return ranked
        val lowest = ranked.last().score.toDouble()
        val span = ranked.first().score - lowest
        val relevance = ranked.map { if (span > 0) (it.score - lowest) / span else 1.0 }
        val nearest = DoubleArray(ranked.size) { -1.0 }
        val candidates = ranked.indices.toMutableList()
        val selected = mutableListOf<Int>()
        while (selected.size < length && candidates.isNotEmpty()) {
            val gain = { position: Int -> (1 - diversity) * relevance[position] - diversity * nearest[position] }
            val best = if (selected.isEmpty()) 0 else candidates.maxBy(gain)
            selected += best
            candidates -= best
            if (candidates.isEmpty() || selected.size == length) break
            val cosines = cosines(ranked, best)
            for (position in candidates) {
                nearest[position] = maxOf(nearest[position], cosines[ranked[position].item.index] ?: 1.0)
            }
        }
        return selected.map(ranked::get)
    }

    /** Returns the cosines between one of K items and the others, by index. */
    private fun cosines(ranked: List<Recommendation>, position: Int): Map<Int, Double> {
        val bias = FloatArray(catalogue.items.size + FIRST_INDEX) { EXCLUDED }
        ranked.forEach { bias[it.item.index] = 0f }
        val inputs = mapOf("item" to arrayOf(intArrayOf(ranked[position].item.index)), "bias" to arrayOf(bias))
        return ranked("similar", inputs).associate { it.item.index to it.score.toDouble() }
    }
}

private fun words(artifact: Artifact): Map<String, Map<String, Int>> {
    val inputs = artifact.info.optJSONArray("activity_inputs") ?: return emptyMap()
    return List(inputs.length(), inputs::getJSONObject).filter { it.has("words") }.associate { input ->
        val words = strings(input.getJSONArray("words"))
        input.getString("input") to words.withIndex().associate { (position, word) -> word to position + FIRST_INDEX }
    }
}

/** Returns whether a runtime is older than a TensorFlow Lite version. LiteRT 1.0 continues TensorFlow Lite 2.17. */
internal fun isOlder(installed: String, needed: String): Boolean {
    if (needed.isEmpty()) return false
    val (have, need) = listOf(installed, needed).map { version -> version.split(".", "-").map { it.toIntOrNull() ?: 0 } }
    val contained = if (have[0] == 1) listOf(2, 17, 0) else have
    return need.indices.map { need[it] - contained.getOrElse(it) { 0 } }.firstOrNull { it != 0 }?.let { it > 0 } ?: false
}
